"""The disk of STUDIO_HOME is full for a while: nothing acknowledged is lost, it is told, and all goes on by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from studio.launch.postgres import EmbeddedPostgres
from studio.lib.home import Home
from tests.support.disks import fill, may_mount, mounted
from tests.support.live import Studio, studio
from tests.support.processes import until

_SIZE = "400m"
_LARGE = b"x" * 1_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A Studio with a disk of its own, which is small."""
    place = tmp_path_factory.mktemp("disk")
    if not may_mount(place):
        pytest.skip("a disk of its own can be mounted by root with CAP_SYS_ADMIN only")
    with mounted(place, _SIZE), studio(place / "home") as started:
        yield started


class Writer:
    """One who logs metrics, counts what was acknowledged, and goes on whatever he is told."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        made = self._post("experiments/create", {"name": "on a small disk"}).json()
        run = self._post("runs/create", {"experiment_id": made["experiment_id"]}).json()["run"]
        self.run = str(run["info"]["run_id"])
        self.place = str(run["info"]["artifact_uri"]).removeprefix("mlflow-artifacts:/")
        self.sent = 0
        self.acknowledged: set[int] = set()

    def write(self) -> httpx.Response:
        """Much at once, so that the tables must grow."""
        self.sent += 1
        metrics = [
            {"key": f"key-{number}", "value": self.sent, "timestamp": 1, "step": self.sent}
            for number in range(200)
        ]
        tags = [{"key": f"tag-{self.sent}-{number}", "value": "x" * 4000} for number in range(20)]
        answer = self._post(
            "runs/log-batch", {"run_id": self.run, "metrics": metrics, "tags": tags}
        )
        if answer.is_success:
            self.acknowledged.add(self.sent)
        return answer

    def kept(self) -> set[int]:
        asked = {"run_id": self.run, "metric_key": "key-199"}
        found = self.api.get("/api/2.0/mlflow/metrics/get-history", params=asked).json()
        return {int(metric["step"]) for metric in found["metrics"]}

    def _post(self, route: str, body: dict[str, object]) -> httpx.Response:
        return self.api.post(f"/api/2.0/mlflow/{route}", json=body)


@pytest.fixture(scope="module")
def writer(small: Studio) -> Iterator[Writer]:
    with small.client(small.token()) as api:
        yield Writer(api)


def test_what_does_not_fit_is_refused_in_words_and_all_goes_on_when_it_does(
    small: Studio, writer: Writer
) -> None:
    assert writer.write().status_code == 200
    with _full(small):
        refused = until(lambda: _refusal(writer.write()), "a write is refused", 30)
        assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "The database's disk has no space left" in refused.json()["message"]
        assert "INSERT" not in refused.text
        _is_refused(writer, small)
        until(lambda: "No space" in _health(small)["parts"]["redis"], "Redis takes none either", 30)
        before = _kill(small, "gateway")  # what dies meanwhile is started again nevertheless
        until(lambda: "could not write down what runs" in small.log(), "told", 10)
        until(lambda: _health(small)["parts"]["gateway"] == "ok", "the gateway runs again", 30)
    until(lambda: writer.write().is_success, "writes are taken again", 30)
    until(lambda: _health(small)["status"] == "ok", "all is well again", 60)
    until(lambda: small.pid("gateway") not in (None, before), "it is written down", 15)
    assert len(writer.acknowledged) >= 2
    assert writer.acknowledged <= writer.kept()


def test_a_database_that_the_full_disk_has_ended_comes_back_with_all_that_it_acknowledged(
    small: Studio, writer: Writer
) -> None:
    assert writer.write().status_code == 200
    with _full(small):
        until(lambda: _no_longer_logs(small), "the database's own log no longer fits", 60)
        until(lambda: _health(small)["parts"]["database"] != "ok", "the database is away", 30)
        assert _refusal(writer.write())
    until(lambda: _health(small)["status"] == "ok", "all is well again", 90)
    assert writer.write().status_code == 200
    assert writer.acknowledged <= writer.kept()


@contextmanager
def _full(small: Studio) -> Iterator[None]:
    filler = fill(small.home.parent)
    try:
        yield
    finally:
        filler.unlink()


def _refusal(answer: httpx.Response) -> httpx.Response | None:
    assert answer.status_code in (200, 503), answer.text
    return None if answer.is_success else answer


def _is_refused(writer: Writer, small: Studio) -> None:
    """A file and an endpoint, as MLflow's and as Studio's API say it; nothing half done is left."""
    path = f"/api/2.0/mlflow-artifacts/artifacts/{writer.place}/large.bin"
    asked = {"run_uuid": writer.run, "path": "large.txt"}
    for answer in (
        writer.api.put(path, content=_LARGE),
        writer.api.post("/ajax-api/2.0/mlflow/upload-artifact", params=asked, content=_LARGE),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert "The disk has no space left" in answer.json()["message"]
    left = {path.name for path in Home(small.home).artifacts.rglob("*") if path.is_file()}
    assert left <= {".studio-store"}
    answer = writer.api.post("/api/v1/endpoints", json={"name": "does-not-fit"})
    assert answer.status_code == 503
    assert "The database's disk has no space left" in answer.json()["error"]["message"]


def _kill(small: Studio, name: str) -> int:
    pid = small.pid(name)
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def _health(small: Studio) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(f"{small.url}/healthz", timeout=60).json()
    return body


def _no_longer_logs(small: Studio) -> bool:
    """Fill the segment of the database's log that is there already; the next cannot be made."""
    try:
        with EmbeddedPostgres(Home(small.home))._connect() as connection:
            connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat('y', 6000000))")
            return False
    except psycopg.Error as failure:
        assert "space" in str(failure) or "recovery" in str(failure), failure
        return True
