"""The body that pages offer to try an endpoint with, and the command that sends it, whatever its size."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from endpoints import examples
from endpoints.models import Endpoint
from studio.accounts.models import User
from tests.support.pages import page
from tests.support.processes import free_port
from tests.support.serving import WITH_EXAMPLE, deploy, make_endpoint, servable, settle


def offered(alice: User, example: dict[str, Any]) -> Any:
    version = servable(WITH_EXAMPLE, **{"serving_input_example.json": json.dumps(example)})
    return json.loads(examples.body_for(settle(deploy(alice, version))))


@pytest.mark.parametrize("key", ["inputs", "instances", "dataframe_records"])
def test_of_a_long_example_the_first_rows_are_offered(alice: User, key: str) -> None:
    rows = [{"x": n} for n in range(10_000)]
    assert offered(alice, {key: rows, "params": {"k": 1}}) == {key: rows[:5], "params": {"k": 1}}


def test_of_a_long_table_the_first_rows_are_offered(alice: User) -> None:
    rows = [[n, "x"] for n in range(10_000)]
    split = {"columns": ["n", "x"], "index": list(range(10_000)), "data": rows}
    few = split | {"index": [0, 1, 2, 3, 4], "data": rows[:5]}
    assert offered(alice, {"dataframe_split": split}) == {"dataframe_split": few}


def test_columns_by_name_are_offered_as_they_are(alice: User) -> None:
    example = {"inputs": {"a": [1, 2, 3, 4, 5, 6], "b": [1, 2, 3, 4, 5, 6]}}
    assert offered(alice, example) == example


@pytest.fixture
def received(settings: Settings) -> Iterator[list[bytes]]:
    """What reaches the scoring address."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    settings.SCORING_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
    settings.SCORING_URL = f"http://{settings.SCORING_ADDRESS}"
    yield bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("length", [10, 99_000, 1_000_000])
def test_the_command_sends_a_body_of_any_length_as_it_stands(
    received: list[bytes], length: int
) -> None:
    body = json.dumps(
        {"inputs": ["it's $HOME `ls` \\ \n" + "ü" * (length // 2)]}, ensure_ascii=False
    )
    command = examples.curl(Endpoint(name="iris"), body, "key")
    subprocess.run(["sh"], input=f"{command}\n", text=True, check=True, capture_output=True)
    assert [sent.rstrip(b"\n") for sent in received] == [body.encode()]


def test_the_test_tab_sends_a_large_body_and_refuses_one_that_no_form_holds_with_the_limit(
    as_alice: Client, alice: User, received: list[bytes]
) -> None:
    path = f"{make_endpoint(alice, 'iris').get_absolute_url()}test/"
    assert as_alice.post(path, {"body": "x" * 5_000_000}).status_code == 200
    assert received == [b"x" * 5_000_000]
    refused = as_alice.post(path, {"body": "x" * 9_000_000})
    assert refused.status_code == 400
    assert "This form holds too much: Studio takes 8 MB." in page(refused).texts("p")[0]


def test_the_gateway_is_asked_directly_whatever_proxy_is_set(
    alice: User, received: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert examples.send(make_endpoint(alice, "iris"), "{}").status == 200
    assert received == [b"{}"]
