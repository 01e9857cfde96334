"""Which run a request to MLflow's server has written to: told once it has, by every route that writes to one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from studio.mlflow import forward as forwarding
from studio.mlflow.guards import Table
from studio.mlflow.signals import run_written
from tests.support.upstream import Answer, Upstream, listening

pytestmark = pytest.mark.django_db
OURS = {"Sec-Fetch-Site": "same-origin"}
RUN, OTHER = "a" * 32, "b" * 32
MLFLOW = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts"
Send = Callable[..., list[tuple[str, str]]]


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture
def upstream(server: Upstream, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """Where MLflow would be; no route is answered before it."""
    monkeypatch.setattr(forwarding, "TABLE", Table())
    server.seen.clear()
    server.answer = Answer()
    return server


@pytest.fixture
def told() -> Iterator[list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []

    def hear(*, run_id: str, place: str, **_: Any) -> None:
        heard.append((run_id, place))

    run_written.connect(hear)
    yield heard
    run_written.disconnect(hear)


@pytest.fixture
def send(as_alice: Client, upstream: Upstream, told: list[tuple[str, str]]) -> Send:
    """Send a request. Returns what was told of it: runs and places."""

    def send(method: str, path: str, body: Any = None, status: int = 200) -> list[tuple[str, str]]:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        response: Any = as_alice.generic(method, path, sent, "application/json", headers=OURS)
        assert response.status_code == status
        assert response.getvalue() == upstream.answer.pieces
        assert bytes(upstream.last.body) == sent
        return told

    return send


@pytest.mark.parametrize(
    "route",
    ["update", "delete", "restore", "set-tag", "delete-tag", "outputs", "log-batch", "log-inputs", "log-metric",
     "log-model", "log-parameter"],
)  # fmt: skip
def test_routes_that_name_the_run_in_their_body(send: Send, route: str) -> None:
    assert send("POST", f"{MLFLOW}/runs/{route}", {"tags": [], "run_id": RUN}) == [(RUN, "")]


@pytest.mark.parametrize(
    ("path", "body", "run_id"),
    [
        ("/ajax-api/2.0/mlflow/runs/delete", {"run_id": RUN}, RUN),
        ("/mlflow/ajax-api/2.0/mlflow/runs/delete", {"run_id": RUN}, RUN),
        (f"{MLFLOW}/runs/log-metric", {"run_uuid": RUN}, RUN),
        (f"{MLFLOW}/runs/log-metric", {"run_uuid": OTHER, "run_id": RUN}, RUN),
        (f"{MLFLOW}/runs/outputs", {"runId": RUN, "models": []}, RUN),
        (f"{MLFLOW}/artifacts/presigned-upload-url", {"run_id": RUN, "path": "a"}, RUN),
        (f"{MLFLOW}/traces/link-to-run", {"run_id": RUN, "trace_ids": []}, RUN),
        (f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={RUN}&path=a", {"run_id": OTHER}, RUN),
        (f"{MLFLOW}/runs/log-metric", b'{"run_id": "%s", "value": NaN}' % RUN.encode(), RUN),
    ],
)
def test_other_ways_to_name_it(send: Send, path: str, body: Any, run_id: str) -> None:
    assert send("POST", path, body) == [(run_id, "")]


@pytest.mark.parametrize("route", ["runs/create", "runs/create-promptlab-run"])
def test_a_new_run_is_named_by_the_answer(send: Send, upstream: Upstream, route: str) -> None:
    upstream.answer = Answer(pieces=json.dumps({"run": {"info": {"run_id": RUN}}}).encode())
    assert send("POST", f"{MLFLOW}/{route}", {"experiment_id": "1"}) == [(RUN, "")]


@pytest.mark.parametrize(
    ("method", "path", "place"),
    [
        ("PUT", f"{FILES}/artifacts/1/{RUN}/artifacts/a b/c.txt", f"mlflow-artifacts:/1/{RUN}/artifacts"),
        ("DELETE", f"{FILES}/artifacts/1/{RUN}/artifacts/a", f"mlflow-artifacts:/1/{RUN}/artifacts"),
        ("PUT", f"{FILES}/artifacts/größe/x/{RUN}/artifacts/a", f"mlflow-artifacts:/größe/x/{RUN}/artifacts"),
        ("POST", f"{FILES}/mpu/create/1/{RUN}/artifacts/a", f"mlflow-artifacts:/1/{RUN}/artifacts"),
        ("POST", f"{FILES}/mpu/complete/1/{RUN}/artifacts/a", f"mlflow-artifacts:/1/{RUN}/artifacts"),
    ],
)  # fmt: skip
def test_files_are_written_to_the_run_of_their_folder(
    send: Send, method: str, path: str, place: str
) -> None:
    assert send(method, path, b"file") == [(RUN, place)]


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ({"experiment_id": "7", "source_run_id": RUN, "run_id": OTHER}, [(RUN, "7")]),
        ({"experimentId": "7", "sourceRunId": RUN}, [(RUN, "7")]),
        ({"source_run_id": RUN}, [(RUN, "?")]),  # which MLflow refuses
        ({"experiment_id": "7", "run_id": OTHER}, []),
    ],
)
def test_a_logged_model_is_written_to_its_run_if_that_is_in_its_experiment(
    send: Send, body: Any, heard: list[tuple[str, str]]
) -> None:
    """MLflow lets a model name any run that its maker may read."""
    assert send("POST", f"{MLFLOW}/logged-models", body) == heard


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{MLFLOW}/runs/get"),
        ("POST", f"{MLFLOW}/runs/search"),
        ("POST", f"{MLFLOW}/experiments/create"),
        ("POST", f"{MLFLOW}/runs/delete/more"),
        ("GET", f"{FILES}/artifacts/1/{RUN}/artifacts/a"),
        ("PUT", f"{FILES}/artifacts/1/{RUN}/artifacts"),
        ("PUT", f"{FILES}/artifacts/1/models/m-{RUN}/artifacts/a"),
        ("PUT", f"{FILES}/artifacts/{'x' * 200}/{RUN}/artifacts/a"),
    ],
)
def test_nothing_is_told_of_what_writes_to_no_run(send: Send, method: str, path: str) -> None:
    assert send(method, path, {"run_id": RUN}) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[1]", b"[" * 50_000, b"\xff", {"run_id": None}, {"run_id": 5}, {"run_id": ""},
     {"run_id": "x" * 33}, {"run_id": "a\0b"}, {"run_id": "\ud800"}, {"run_id": ["a"]}],
)  # fmt: skip
def test_what_is_no_id_of_a_run_is_not_told(send: Send, body: Any) -> None:
    assert send("POST", f"{MLFLOW}/runs/delete", body) == []


def test_nothing_is_told_of_what_mlflow_has_refused(send: Send, upstream: Upstream) -> None:
    for status in (400, 403, 404, 500):
        upstream.answer = Answer(status=status)
        assert send("POST", f"{MLFLOW}/runs/delete", {"run_id": RUN}, status) == []
        assert send("POST", f"{MLFLOW}/runs/create", {"run_id": RUN}, status) == []


def test_a_body_of_a_megabyte_is_heard_and_a_longer_one_passes_all_the_same(send: Send) -> None:
    text = "x" * (1024 * 1024 - 100)
    assert send("POST", f"{MLFLOW}/runs/log-model", {"model_json": text, "run_id": RUN}) == [
        (RUN, "")
    ]
    longer = {"run_id": RUN, "model_json": text * 2}
    assert send("POST", f"{MLFLOW}/runs/log-model", longer) == [(RUN, "")]  # of the one before
