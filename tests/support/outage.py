"""What a Studio does while its PostgreSQL and Redis are away, and once they are back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from celery import Celery

from studio.lib.redis import celery_url
from tests.support.live import Studio
from tests.support.own_servers import OwnServers
from tests.support.processes import until

_AT_A_TIME = 4
_PAGE = 1000


class Writer:
    """Logs a metric, step by step, from a few connections, and never twice. Knows which steps were acknowledged."""

    def __init__(self, studio: Studio, token: str) -> None:
        self.studio, self.token = studio, token
        self.acknowledged: set[int] = set()
        self.refused: dict[int, int] = {}  # how often each status was the answer; 0: none
        self.last_acknowledged = 0.0
        self.longest = 0.0  # seconds that an answer took
        self._stop = threading.Event()
        with studio.client(token) as api:
            made = api.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"})
            self.run_id: str = made.json()["run"]["info"]["run_id"]

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._write, args=[number]) for number in range(_AT_A_TIME)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def kept(self) -> set[int]:
        """The steps that are in the database."""
        found: set[int] = set()
        asked = {"run_id": self.run_id, "metric_key": "loss", "max_results": str(_PAGE)}
        with self.studio.client(self.token) as api:
            while True:
                told = api.get("/api/2.0/mlflow/metrics/get-history", params=asked).json()
                found |= {int(point["step"]) for point in told.get("metrics", [])}
                if not told.get("next_page_token"):
                    return found
                asked["page_token"] = told["next_page_token"]

    def _write(self, first: int) -> None:
        with self.studio.client(self.token) as api:
            for step in range(first, 10_000_000, _AT_A_TIME):
                if self._stop.is_set():
                    return
                body = {
                    "run_id": self.run_id,
                    "key": "loss",
                    "value": 1.0,
                    "timestamp": 1,
                    "step": step,
                }
                began = time.monotonic()
                try:
                    status = api.post("/api/2.0/mlflow/runs/log-metric", json=body).status_code
                except httpx.HTTPError:
                    status = 0
                self._note(step, status, time.monotonic() - began)

    def _note(self, step: int, status: int, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        if status == 200:
            self.acknowledged.add(step)
            self.last_acknowledged = time.monotonic()
            return
        self.refused[status] = self.refused.get(status, 0) + 1
        time.sleep(0.05)


@dataclass
class Outcome:
    """`told`: what /healthz called unwell meanwhile. Seconds count from when the servers answered again."""

    told: set[str]
    seconds_to_write: float
    seconds_to_well: float
    longest_look: float
    pids: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))


def survive(studio: Studio, servers: OwnServers, writer: Writer, seconds: float) -> Outcome:
    """Kill both servers while the writer writes, start them again after so many seconds, wait until all is well."""
    before = pids(studio)
    enough = len(writer.acknowledged) + 20
    until(lambda: len(writer.acknowledged) > enough, "some writes are acknowledged")
    servers.postgres.kill()
    servers.redis.kill()
    told: set[str] = set()
    longest = 0.0
    back_at = time.monotonic() + seconds
    while (began := time.monotonic()) < back_at:
        told |= unwell(studio)
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.2)
    servers.postgres.start()
    servers.redis.start()
    back = time.monotonic()
    until(lambda: writer.last_acknowledged > back, "a write is acknowledged again", 60)
    written = writer.last_acknowledged - back
    until(lambda: is_well(studio), "all is well again", 90)
    return Outcome(told, written, time.monotonic() - back, longest, (before, pids(studio)))


def is_well(studio: Studio) -> bool:
    return not unwell(studio)


def unwell(studio: Studio) -> set[str]:
    """What /healthz calls so."""
    answer = httpx.get(f"{studio.url}/healthz", timeout=40)
    told: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) == (told["unwell"] == [])
    return set(told["unwell"])


def pids(studio: Studio) -> dict[str, int]:
    told = json.loads((studio.home / "processes.json").read_text())
    return {process["name"]: process["pid"] for process in told["processes"]}


def tasks_done(servers: OwnServers) -> int:
    """How many tasks the workers have begun since they started, as they say."""
    app = Celery(broker=celery_url(servers.redis.url()), set_as_current=False)
    with app, app.connection_for_write() as connection:
        answers = app.control.inspect(timeout=2, connection=connection).stats() or {}
    return sum(sum(worker["total"].values()) for worker in answers.values())
