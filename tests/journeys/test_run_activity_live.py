"""Of every run the time of its last write is known within ten seconds, whichever way it was written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from tests.support.live import Studio
from tests.support.pages import Page
from tests.support.processes import until

MLFLOW = "/api/2.0/mlflow"
SOON = 10  # seconds
POINT = {"key": "loss", "value": 1.0, "timestamp": 1, "step": 1}


class Writer(NamedTuple):
    """Writes to runs of its own, each in one way."""

    api: httpx.Client
    database: str
    experiment: str

    def runs(self, *ways: str) -> dict[str, str]:
        """A new run for each way, by its name."""
        body = {"experiment_id": self.experiment}
        return {way: self.post("runs/create", body)["run"]["info"]["run_id"] for way in ways}

    def post(self, route: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(f"{MLFLOW}/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def file(self, run_id: str) -> None:
        path = f"{self.experiment}/{run_id}/artifacts/a.txt"
        answer = self.api.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}", content=b"a")
        assert answer.status_code == 200

    def ask(self, statement: str, given: list[object]) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as wire:
            return wire.execute(statement, given).fetchall()

    def clock(self) -> datetime:
        """The database's."""
        [(moment,)] = self.ask("SELECT clock_timestamp()", [])
        assert isinstance(moment, datetime)
        return moment

    def known(self, runs: dict[str, str], since: datetime) -> set[str]:
        """The ways of which a last write since then is known."""
        asked = (
            "SELECT run_id FROM tracking_runactivity WHERE run_id = ANY(%s) AND last_write_at >= %s"
        )
        found = {row[0] for row in self.ask(asked, [list(runs.values()), since])}
        return {way for way, run_id in runs.items() if run_id in found}


@pytest.fixture(scope="module")
def writer(live: Studio, token: str) -> Iterator[Writer]:
    database = json.loads(live.manage("status", "--json"))["database_url"]
    with live.client(token) as api:
        made = api.post(f"{MLFLOW}/experiments/create", json={"name": "heard of"}).json()
        yield Writer(api, database, made["experiment_id"])


def test_each_way_to_write_is_known_soon_and_told_on_the_page(writer: Writer) -> None:
    native: dict[str, dict[str, Any]] = {
        "log-metric": POINT,
        "log-parameter": {"key": "depth", "value": "3"},
        "set-tag": {"key": "team", "value": "red"},
        "log-batch": {"metrics": [POINT]},
        "update": {"run_name": "renamed"},
    }
    before = writer.clock()
    runs = writer.runs(*native, "create", "delete", "outputs", "file", "model", "nothing")
    created = writer.clock()
    for way, body in native.items():
        writer.post(f"runs/{way}", body | {"run_id": runs[way]})
    writer.post("runs/delete", {"run_id": runs["delete"]})
    writer.post("runs/outputs", {"run_id": runs["outputs"], "models": []})
    writer.file(runs["file"])
    made = {"experiment_id": writer.experiment, "source_run_id": runs["model"]}
    writer.post("logged-models", made)
    wanted = runs.keys() - {"create", "nothing"}
    until(lambda: writer.known(runs, created) >= wanted, "all writes", SOON)
    assert writer.known(runs, created) == wanted  # and of the others, that they were made
    assert writer.known(runs, before) == runs.keys()
    page = Page()
    page.feed(writer.api.get(f"/runs/{runs['log-metric']}/").text)
    told = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert told["Last write"] == "just now"


def test_what_was_refused_is_no_write(writer: Writer) -> None:
    runs = writer.runs("metric", "file", "known")
    moment = writer.clock()
    wrong = {"run_id": runs["metric"], "key": "loss", "value": "x", "timestamp": 1}
    assert writer.api.post(f"{MLFLOW}/runs/log-metric", json=wrong).status_code == 400
    elsewhere = f"0/{runs['file']}/artifacts/a.txt"  # not where the run keeps its files
    put = writer.api.put(f"/api/2.0/mlflow-artifacts/artifacts/{elsewhere}", content=b"a")
    assert put.status_code == 200
    writer.post("runs/log-metric", POINT | {"run_id": runs["known"]})
    until(lambda: writer.known(runs, moment), "the write", SOON)
    assert writer.known(runs, moment) == {"known"}
