"""Who logs for as long as a test lasts: MLflow's own clients in processes of their own, and requests that are timed.

`python -m tests.support.loggers RUN COUNT` imports MLflow once and forks into that many clients, with MLflow's settings
as they are. Each prints a line for each call that has returned.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support.live import Studio
from tests.support.processes import until

SIZE = 20  # points of a batch
_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Client:
    """What one of them has been told. It goes through its turns, in each a metric alone and a batch."""

    metrics: set[int] = field(default_factory=set)  # turns whose call has returned
    batches: set[int] = field(default_factory=set)


class Clients:
    def __init__(self, process: subprocess.Popen[str], count: int, errors: Path) -> None:
        self.all = [Client() for _ in range(count)]
        self.errors = errors
        self._process = process

    @property
    def go_on(self) -> bool:
        """Whether none has ended, which an error would make it do."""
        return self._process.poll() is None

    def wait_for_more(self, turns: int = 5) -> None:
        """Until each has come so many turns further, by itself."""
        wanted = [len(client.batches) + turns for client in self.all]

        def have_come() -> bool:
            return all(
                len(client.batches) >= least for client, least in zip(self.all, wanted, strict=True)
            )

        until(lambda: have_come() or not self.go_on, "MLflow's clients go on", 120)
        assert self.go_on, self.errors.read_text()

    def collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, kind, turn = line.split()
            client = self.all[int(number)]
            (client.metrics if kind == "metric" else client.batches).add(int(turn))


@contextmanager
def clients(studio: Studio, token: str, run_id: str, count: int, folder: Path) -> Iterator[Clients]:
    """That many log to the run while the block runs."""
    own = {
        "MLFLOW_TRACKING_URI": studio.url,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    errors = folder / "clients.log"
    command = [sys.executable, "-m", "tests.support.loggers", run_id, str(count)]
    with (
        errors.open("w") as told,
        subprocess.Popen(
            command,
            cwd=_ROOT,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        found = Clients(process, count, errors)
        reader = threading.Thread(target=found.collect)
        reader.start()
        try:
            yield found
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            reader.join()


class Probe(NamedTuple):
    """A metric that was sent once. `status` is 0 where no answer came. `began`: monotonic seconds."""

    step: int
    status: int
    began: float
    answer: str


@contextmanager
def probes(studio: Studio, token: str, run_id: str, count: int = 4) -> Iterator[list[Probe]]:
    """Requests from that many connections, each sent once, one after the other, while the block runs."""
    sent: list[Probe] = []
    stop = threading.Event()

    def send(first: int) -> None:
        with studio.client(token) as api:
            for step in itertools.count(first, count):
                if stop.is_set():
                    return
                body = {
                    "run_id": run_id,
                    "key": "probe",
                    "value": 1.0,
                    "timestamp": 1,
                    "step": step,
                }
                began = time.monotonic()
                try:
                    told = api.post("/api/2.0/mlflow/runs/log-metric", json=body)
                    sent.append(Probe(step, told.status_code, began, told.text))
                except httpx.HTTPError as failure:
                    sent.append(Probe(step, 0, began, repr(failure)))

    threads = [threading.Thread(target=send, args=[place]) for place in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _log_for_ever(run_id: str, number: int) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient()
    for turn in itertools.count():
        client.log_metric(run_id, f"alone-{number}", float(turn), timestamp=turn, step=turn)
        _tell(f"{number} metric {turn}")
        name = f"{number}-{turn}"
        points = [
            Metric(f"batch-{number}", float(turn), turn, turn * SIZE + step) for step in range(SIZE)
        ]
        client.log_batch(run_id, points, [Param(name, str(turn))], [RunTag(name, str(turn))])
        _tell(f"{number} batch {turn}")


def _tell(line: str) -> None:
    """At once and whole, whoever else tells something."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _main(run_id: str, count: int) -> None:
    """Ends with the first client that ends."""
    import mlflow  # noqa: F401 - once for all of them

    for number in range(count):
        if os.fork() == 0:
            _log_for_ever(run_id, number)
    os.wait()
    sys.exit("a client has ended")


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
