"""The model server as a process: its socket, its log, its signals, its exit codes."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from tests.endpoints.runtime.model_server_kit import PATIENCE, Pipe, Server, connectable, wait_until

Start = Callable[..., Server]


def told(do: str, path: Path | str = "") -> str:
    return json.dumps({"dataframe_records": [{"do": do, "path": str(path)}]})


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    return start().wait_ready()


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


def test_only_its_owner_may_connect(server: Server) -> None:
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600


def test_the_log_says_what_happened(server: Server) -> None:
    lines = server.out.read_text().splitlines()
    assert lines[0].endswith("/plain (python_function) with mlflow 3.17.2")
    assert lines[-2][9:].startswith("loaded in ")
    assert lines[-1][9:] == f"serving on {server.socket}"


def test_each_line_of_the_log_has_its_time_in_utc(server: Server) -> None:
    day = timedelta(days=1)
    for line in server.out.read_text().splitlines():
        told = datetime.combine(datetime.now(UTC), time.fromisoformat(line[:8]), UTC)
        assert (datetime.now(UTC) - told) % day < timedelta(minutes=5), line


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/nothing", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/ping/", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/invocations", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/ping", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_what_it_does_not_serve_is_refused(
    server: Server, method: str, target: str, status: int, code: str
) -> None:
    reply = server.get(target, method)
    assert reply.status == status
    assert reply.content_type == "application/json"
    assert json.loads(reply.body)["error_code"] == code


def test_a_body_that_is_not_json_is_answered_clearly(server: Server) -> None:
    reply = server.score("five, please")
    assert reply.status == 400
    assert "valid JSON formatted string" in json.loads(reply.body)["message"]
    assert "a request was answered with 400: " in server.out.read_text()


def test_a_prediction_that_raises_is_logged_with_its_traceback(server: Server) -> None:
    assert server.score(told("raise")).status == 400
    assert server.logged("ValueError: the model's own failure")


def test_a_refusal_of_the_model_is_logged_with_its_traceback(server: Server) -> None:
    assert server.score(told("refuse")).status == 500
    # The model's own frame, with its source line where cloudpickle kept its file's name, and the error.
    refused = r"in _obey\n(    .+\n)*mlflow\.exceptions\.MlflowException: the model's own refusal"
    assert re.search(refused, server.out.read_text())


def test_a_model_that_exits_does_not_end_the_server(server: Server) -> None:
    reply = server.score(told("exit"))
    assert reply.status == 500
    assert json.loads(reply.body)["message"] == "SystemExit: the model's own exit"
    assert server.score(told("echo")).status == 200


def test_pings_are_answered_during_a_prediction(server: Server, pipe: Pipe) -> None:
    predicting = server.score_aside(told("wait", pipe.path))
    pipe.wait_for_reader()
    assert server.get("/ping").body == server.get("/health").body == b"\n"
    assert not predicting.done()
    pipe.let_go()
    assert predicting.result(PATIENCE).status == 200


def test_predictions_run_one_at_a_time(server: Server, pipe: Pipe, tmp_path: Path) -> None:
    first = server.score_aside(told("wait", pipe.path))
    pipe.wait_for_reader()
    second = server.score_aside(told("touch", tmp_path / "second"))
    _has_read_everything(server)
    assert not (tmp_path / "second").exists()
    pipe.let_go()
    assert first.result(PATIENCE).status == second.result(PATIENCE).status == 200
    assert (tmp_path / "second").exists()


def test_who_leaves_the_queue_never_reaches_the_model(
    server: Server, pipe: Pipe, tmp_path: Path
) -> None:
    first = server.score_aside(told("wait", pipe.path))
    pipe.wait_for_reader()
    body = told("touch", tmp_path / "left").encode()
    with socket.socket(socket.AF_UNIX) as leaver:
        leaver.connect(str(server.socket))
        leaver.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: model\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        leaver.sendall(body)
        _has_read_everything(server)
    _has_read_everything(server)
    pipe.let_go()
    assert first.result(PATIENCE).status == 200
    assert server.score(told("echo")).status == 200  # came after it in the queue
    assert not (tmp_path / "left").exists()


def test_sigterm_lets_a_request_finish(start: Start, pipe: Pipe) -> None:
    server = start().wait_ready()
    predicting = server.score_aside(told("wait", pipe.path))
    pipe.wait_for_reader()
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not connectable(server.socket))
    pipe.let_go()
    assert predicting.result(PATIENCE).status == 200
    assert server.process.wait(PATIENCE) == 0
    assert not server.socket.exists()
    assert server.logged("stopped")


def test_sigterm_gives_up_what_does_not_finish(start: Start, pipe: Pipe) -> None:
    server = start("--grace", "1").wait_ready()
    predicting = server.score_aside(told("wait", pipe.path))
    pipe.wait_for_reader()
    server.process.send_signal(signal.SIGTERM)
    reply = predicting.result(PATIENCE)
    assert reply.status == 503
    assert json.loads(reply.body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert server.process.wait(PATIENCE) == 0
    assert not server.socket.exists()
    pipe.let_go()


def test_a_stopping_server_leaves_its_successors_socket(start: Start) -> None:
    first = start().wait_ready()
    second = start(at=first.socket)
    wait_until(lambda: second.logged(f"serving on {first.socket}"))
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(PATIENCE) == 0
    assert second.get("/ping").status == 200


def test_it_tells_of_a_long_load_and_then_replaces_a_stale_socket(start: Start, pipe: Pipe) -> None:
    server = start(MODEL_WAITS_FOR=str(pipe.path))
    _leave_a_socket(server.socket)
    pipe.wait_for_reader()
    wait_until(lambda: server.logged("still loading, 2 s"))
    assert not connectable(server.socket)
    pipe.let_go()
    assert server.wait_ready().get("/ping").status == 200


def test_a_file_in_the_sockets_place_is_left_alone(start: Start, pipe: Pipe) -> None:
    server = start(MODEL_WAITS_FOR=str(pipe.path))
    server.socket.write_text("precious")
    pipe.wait_for_reader()
    pipe.let_go()
    assert server.process.wait(PATIENCE) == 4
    assert server.socket.read_text() == "precious"
    assert "exists and is not a socket" in server.out.read_text()


def test_a_model_that_does_not_load_exits_with_its_traceback(start: Start) -> None:
    server = start(MODEL_FAILS="yes")
    assert server.process.wait(PATIENCE) == 3
    told_why = server.err.read_text()
    assert "in load_context\n" in told_why
    assert "LookupError: the model's own failure to load" in told_why
    assert not server.socket.exists()


def _has_read_everything(server: Server) -> None:
    """The server reads in order of arrival: what was sent before is read by now."""
    for _ in range(3):
        assert server.get("/ping").status == 200


def _leave_a_socket(path: Path) -> None:
    """As a killed server does: a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
