"""The same request to MLflow's own server and to ours, in the same environment."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.runtime.model_server_kit import (
    FULL,
    INSIDE,
    NEWEST,
    OLDEST,
    Environment,
    Reply,
    ask,
    connectable,
    end,
    launch,
    wait_until,
)

MODELS = ("iris", "plain", "typed")


@pytest.fixture(params=[NEWEST, FULL, OLDEST], scope="module")
def environment(
    request: pytest.FixtureRequest, environment_of: Callable[[str], Environment]
) -> Environment:
    return environment_of(request.param)


@pytest.fixture
def sockets(environment: Environment, tmp_path: Path) -> Iterator[Path]:
    """A folder with a socket for each model, served by forks of one process."""
    process = launch(
        tmp_path,
        environment.python,
        INSIDE / "fork_servers.py",
        environment.models,
        tmp_path,
    )
    wait_until(
        lambda: all(connectable(tmp_path / name) for name in MODELS) or process.poll() is not None
    )
    assert process.poll() is None, (tmp_path / "err").read_text()
    yield tmp_path
    end(process)


def test_every_answer_is_mlflows_own(
    environment: Environment, sockets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = json.loads((environment.models / "answers.json").read_text())
    compared = escaped = 0
    for case in asked:
        ours = _ask_us(sockets, case)
        if "escaped" in case["answer"]:
            # MLflow's server breaks on these: we owe a clear refusal instead.
            assert ours.status in (400, 500), case["name"]
            assert set(json.loads(ours.body)) == {"error_code", "message"}
            escaped += 1
        else:
            assert _masked(ours) == _theirs(case["answer"]), case["name"]
            compared += 1
    with capsys.disabled():
        sys.stdout.write(f" {compared} equal pairs, {escaped} MLflow lets escape ")
    assert compared >= 75
    assert escaped <= 5


def _ask_us(sockets: Path, case: dict[str, Any]) -> Reply:
    body = base64.b64decode(case["body"])
    socket = sockets / case["model"]
    return ask(socket, case["path"], body, case["content_type"], case["method"])


def _theirs(answer: dict[str, Any]) -> Reply:
    body = answer["body"].encode()
    return _masked(Reply(answer["status"], answer["content_type"], body))


def _masked(reply: Reply) -> Reply:
    """Blank the stack trace: it names files and lines of the server."""
    if b'"stack_trace"' not in reply.body:
        return reply
    body = json.loads(reply.body)
    body["stack_trace"] = ""
    return reply._replace(body=json.dumps(body).encode())
