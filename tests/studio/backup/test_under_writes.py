"""A backup of a Studio that is written to meanwhile: what was acknowledged before is there after the restore."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from pytest_django.fixtures import Settings

from studio.backup import folder, manifest, stores
from studio.lib.database import embedded_url
from studio.lib.home import Home
from tests.studio.backup.kit import contents, manage
from tests.support.live import Studio, environment
from tests.support.processes import free_port, until

_ROWS = """
SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM (
    SELECT run_uuid, 'run', name, status, artifact_uri FROM runs UNION ALL
    SELECT run_uuid, 'metric', key, value::text, step::text FROM metrics UNION ALL
    SELECT run_uuid, 'param', key, value, '' FROM params
) t WHERE run_uuid = ANY(%s)
"""


class Writer:
    """Logs runs, each with a metric, a param and an artifact. Notes those of which all was acknowledged."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.experiment = str(self._post("experiments/create", name="backed up")["experiment_id"])
        self.acknowledged: dict[str, str] = {}  # the digest of its artifact by the path of it

    def write(self) -> None:
        run = self._post("runs/create", experiment_id=self.experiment)["run"]["info"]["run_id"]
        metric = {"key": "loss", "value": 0.5, "timestamp": 1, "step": 1}
        self._post(
            "runs/log-batch", run_id=run, metrics=[metric], params=[{"key": "a", "value": run}]
        )
        content = run.encode() * 5000
        path = f"{self.experiment}/{run}/artifacts/model.bin"
        self.client.put(
            f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=content
        ).raise_for_status()
        self.acknowledged[path] = hashlib.sha256(content).hexdigest()

    def _post(self, route: str, **body: Any) -> Any:
        answer = self.client.post(f"/api/2.0/mlflow/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def going_on(write: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            write()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def rows_of(url: str, runs: list[str]) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(_ROWS, [runs]).fetchone()


def test_what_was_acknowledged_is_there_again(
    live: Studio, token: str, tmp_path: Path, settings: Settings
) -> None:
    place, home = tmp_path / "backups", Home(tmp_path / "home")
    with live.client(token) as client:
        writer = Writer(client)
        with going_on(writer.write):
            until(lambda: len(writer.acknowledged) >= 3, "a few runs are logged")
            before = dict(writer.acknowledged)
            live.manage("backup", str(place))
            during = len(writer.acknowledged)
    told = manifest.read(folder.find(place))
    assert during > len(before)
    manage("restore", str(place), more=environment(home.root, free_port(), free_port()))
    restored = contents(home.artifacts)
    assert {path: restored.get(path) for path in before} == before
    assert len(restored) == told.files_count
    settings.HOME = home
    url = embedded_url(home.postgres_socket, "studio", home.secret("postgres-password"), "studio")
    runs = [path.split("/")[1] for path in before]
    kept = Home(live.home)
    original = embedded_url(
        kept.postgres_socket, "studio", kept.secret("postgres-password"), "studio"
    )
    with stores.embedded():
        assert rows_of(url, runs) == rows_of(original, runs)
    assert (home.root / "secrets/secret-key").read_text() == kept.secret("secret-key")
    assert not home.unfinished_restore.exists()
    assert not home.processes.exists()
