"""A server that lies, breaks off or writes nonsense costs what it lies about, and no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.studio.importing.conftest import Import
from tests.studio.importing.rows import all_files
from tracking.models import Metric, Run

RUNS = ["a" * 32, "b" * 32, "../../etc", "c" * 32]
FILES = [
    {"path": "fine.txt", "file_size": 4},
    {"path": "longer.txt", "file_size": 2},
    {"path": "shorter.txt", "file_size": 400},
    {"path": "../../outside.txt", "file_size": 4},
    {"path": "/etc/absolute.txt", "file_size": 4},
    {"path": "", "is_dir": True},
    {"path": "loop", "is_dir": True},
]


class Liar(ThreadingHTTPServer):
    """Answers as MLflow's server does, with what `change` makes of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.change: Callable[[str, str, Any], Any] = lambda path, run, answer: answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Liar

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/2.0/mlflow/")
        self.server.asked.append((path, self.headers.get("Authorization", "")))
        answer = self.server.change(path, asked.get("run_id", ""), _honest(path, asked))
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the class has it
        """Says nothing."""


def _honest(path: str, asked: dict[str, str]) -> Any:
    run = asked.get("run_id", "")
    return {
        "experiments/search": {"experiments": [{"experiment_id": "5", "name": "far", "creation_time": 1}]},
        "runs/search": {"runs": [{"info": {"run_id": name}} for name in RUNS]},
        "runs/get": {
            "run": {
                "info": {"run_id": run, "status": "FINISHED", "artifact_uri": "s3://x/y"},
                "data": {"metrics": [{"key": "loss"}], "params": [{"key": "lr", "value": "1"}]},
            }
        },
        "metrics/get-history": {
            "metrics": [{"key": "loss", "value": "NaN", "timestamp": 3, "step": 1}]
        },
        "artifacts/list": {"files": FILES if not asked.get("path") else [{"path": "loop", "is_dir": True}]},
        "/get-artifact": b"four",
        "registered-models/search": {},
    }.get(path)  # fmt: skip


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Liar() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_files_come_only_to_where_they_belong_and_only_whole(
    importing: Import, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "the-token")
    done = importing(liar.url)
    assert done.code == 3
    assert {told for _, told in liar.asked} == {"Bearer the-token"}
    assert set(Run.objects.values_list("pk", flat=True)) == {"a" * 32, "b" * 32, "c" * 32}
    assert done.reasons("run") == {"../../etc": "its id is none that MLflow gives"}
    assert Metric.objects.filter(is_nan=True).count() == 3
    assert set(all_files()) == {f"5/{name}/artifacts/fine.txt" for name in RUNS if "/" not in name}
    run = "a" * 32
    reasons = {
        name.partition(" ")[2]: reason
        for name, reason in done.reasons("files of a run").items()
        if name.startswith(run)
    }
    assert reasons == {
        "longer.txt": "the server told of 2 bytes and gave more",
        "shorter.txt": "the server told of 400 bytes and gave 4",
        "../../outside.txt": "its name leads elsewhere, or is no text",
        "/etc/absolute.txt": "its name leads elsewhere, or is no text",
        "": "the server lists it where it cannot be",
        "loop": "the server lists it where it cannot be",
    }


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("runs/get", {"run": {"info": 5}}),
        ("runs/get", {"error": 1}),
        ("runs/get", b"<html>"),
        ("runs/get", {"run": {"info": {"status": "NO SUCH"}}}),
        ("metrics/get-history", {"metrics": [{"value": {}, "timestamp": "now"}]}),
        ("metrics/get-history", None),
    ],
)
def test_a_run_of_which_nonsense_is_told_is_left_out(
    importing: Import, liar: Liar, where: str, answer: Any
) -> None:
    wrong = where, "b" * 32
    liar.change = lambda path, run, honest: answer if (path, run) == wrong else honest
    done = importing(liar.url)
    assert done.code == 3
    assert set(Run.objects.values_list("pk", flat=True)) == {"a" * 32, "c" * 32}
    assert done.reasons("run").keys() == {"../../etc", "b" * 32}
    assert Metric.objects.count() == 2


def test_a_server_that_is_none_of_mlflows_is_refused(importing: Import, liar: Liar) -> None:
    liar.change = lambda path, run, answer: b"<html>hello</html>"
    done = importing(liar.url)
    assert done.code == 1
    assert "does not answer as MLflow does" in done.words


def test_a_server_that_is_gone_is_told(
    importing: Import, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.importing.sources.calls._PAUSES", ())

    def change(path: str, run: str, honest: Any) -> Any:
        if path == "runs/get":
            liar.server_close()
            raise ConnectionAbortedError  # the handler's connection ends without an answer
        return honest

    liar.change = change
    monkeypatch.setattr(liar, "handle_error", lambda request, address: None)
    done = importing(liar.url)
    assert done.code == 1
    assert "does not answer" in done.words
    assert "start the same command again" in done.words
