"""From the click to the first prediction, from a kill to the next one, and what a further replica holds."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from typing import Any, TypeVar

import httpx
import mlflow
import psutil

from tests.bench.timing import Result
from tests.support.live import Studio
from tests.support.processes import free_port
from tests.support.training import Trained, client_of, train_iris

ROUNDS = 5
_PATIENCE = 180.0  # seconds
_names = itertools.count(1)
_Found = TypeVar("_Found")


class Served:
    """An endpoint and its one deployment of iris."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = f"bench-{next(_names)}"
        bench.api.post("/api/v1/endpoints", json={"name": self.name}).raise_for_status()

    @property
    def path(self) -> str:
        return f"/api/v1/endpoints/{self.name}/deployments/blue"

    def seconds_to_a_prediction(self) -> float:
        """Deploy, and ask until there is an answer."""
        wanted = {"name": "blue", "model_uri": "models:/bench-iris/1"}
        began = time.perf_counter()
        path = f"/api/v1/endpoints/{self.name}/deployments"
        self.bench.api.post(path, json=wanted).raise_for_status()
        _wait(self.answers, 0.01)
        return time.perf_counter() - began

    def answers(self) -> bool:
        """Whether it predicts. Fails when it never will."""
        path = f"/endpoints/{self.name}/invocations"
        if self.bench.scoring.post(path, json=self.bench.body).status_code == 200:
            return True
        told = self.bench.api.get(self.path).json()
        assert told["state"] != "failed", told
        return False

    def replicas(self) -> list[dict[str, Any]]:
        told = self.bench.api.get(self.path).json()["replica_list"]
        return [replica for replica in told if replica["state"] == "ready"]

    def end(self) -> None:
        self.bench.api.delete(f"/api/v1/endpoints/{self.name}").raise_for_status()
        gone = f"/api/v1/endpoints/{self.name}"
        _wait(lambda: self.bench.api.get(gone).status_code == 404)


class Bench:
    def __init__(self, studio: Studio, api: httpx.Client, scoring: httpx.Client, of: Trained):
        self.studio, self.api, self.scoring = studio, api, scoring
        self.body = {"dataframe_split": {"columns": of.columns, "data": of.rows}}

    def templates(self) -> list[psutil.Process]:
        """Of this Studio. It is asked where no replica runs, whose command line is its template's."""
        mine = str(self.studio.home)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "model_server.template" in line and any(mine in part for part in line):
                found.append(process)
        return found

    def end_templates(self) -> None:
        """As if they had been idle: no replica runs."""
        for process in self.templates():
            process.kill()
        _wait(lambda: not self.templates())


def measure(studio: Studio) -> list[Result]:
    with _bench(studio) as bench:
        first = _one(bench)  # fills uv's cache
        environments = studio.home / "environments"
        uncached, cold, warm = [], [], []
        for _ in range(ROUNDS):
            bench.end_templates()
            shutil.rmtree(environments)
            uncached.append(_one(bench))
            bench.end_templates()
            cold.append(_one(bench))
            warm.append(_one(bench))
        peer = _peer(bench)
        replaced, private = _of_replicas(bench)
    sides = {"very first, nothing cached": f"{first:.1f} s"}
    return [
        _result("click to first prediction: cached, template warm", warm, sides, 2),
        _result("the same, template cold", cold, {"mlflow models serve": f"{peer:.2f} s"}, 6),
        _result("the same, environment not there, uv's cache warm", uncached, {}, 15),
        _result("replica killed to the next prediction by its successor", replaced, {}, 3),
        Result("a further replica's own memory", {}, private, "MiB", "at most", 45),
    ]


def _one(bench: Bench) -> float:
    served = Served(bench)
    seconds = served.seconds_to_a_prediction()
    served.end()
    return seconds


def _peer(bench: Bench) -> float:
    """Seconds from `mlflow models serve` to its first prediction, in the environment that Studio built."""
    served = Served(bench)
    served.seconds_to_a_prediction()
    (python,) = (bench.studio.home / "environments").glob("*/bin/python")
    (model,) = (bench.studio.home / "models").iterdir()
    port = free_port()
    command: list[str | Path] = [
        python,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "-p",
        str(port),
    ]
    command += ["--env-manager", "local"]
    # It starts uvicorn by name.
    more = {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(bench.studio.home)}
    seconds = [_seconds_of_serving(bench, command, port, more) for _ in range(2)]
    served.end()
    return min(seconds)  # its bytecode is there the second time


def _seconds_of_serving(
    bench: Bench, command: list[str | Path], port: int, environment: dict[str, str]
) -> float:
    address = f"http://127.0.0.1:{port}/invocations"
    began = time.perf_counter()
    with Popen(
        command, env=environment, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
    ) as process:
        try:
            _wait(lambda: _is_answered(address, bench.body), 0.01)
            return time.perf_counter() - began
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _is_answered(address: str, body: dict[str, Any]) -> bool:
    try:
        return httpx.post(address, json=body).status_code == 200
    except httpx.HTTPError:
        return False


def _of_replicas(bench: Bench) -> tuple[list[float], float]:
    """Seconds from a replica's kill to an answer again, and a second one's private MiB."""
    served = Served(bench)
    served.seconds_to_a_prediction()
    bench.api.patch(served.path, json={"replicas": 2}).raise_for_status()
    _, second = _wait(lambda: found if len(found := served.replicas()) == 2 else [])
    for _ in range(20):
        served.answers()
    private = psutil.Process(second["pid"]).memory_full_info().uss / 2**20
    bench.api.patch(served.path, json={"replicas": 1}).raise_for_status()
    _wait(lambda: len(served.replicas()) == 1)
    replaced = []
    for _ in range(ROUNDS):
        (victim,) = _wait(served.replicas)
        replaced.append(_seconds_without(served, victim["pid"]))
    served.end()
    return replaced, private


def _seconds_without(served: Served, pid: int) -> float:
    """Kill the one replica, and ask until another answers."""
    began = time.perf_counter()
    psutil.Process(pid).kill()
    _wait(lambda: not psutil.pid_exists(pid), 0.001)
    _wait(served.answers, 0.01)
    seconds = time.perf_counter() - began
    _wait(lambda: [one for one in served.replicas() if one["pid"] != pid])
    return seconds


def _result(name: str, seconds: list[float], more: dict[str, str], mark: float) -> Result:
    told = {"each": ", ".join(f"{one:.2f}" for one in seconds)}
    return Result(
        f"{name}, p50 of {len(seconds)}", told | more, median(seconds), "s", "at most", mark
    )


def _wait(look: Callable[[], _Found], pause: float = 0.02) -> _Found:
    deadline = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return found


@contextmanager
def _bench(studio: Studio) -> Iterator[Bench]:
    token = studio.token()
    with client_of(studio.url, token):
        trained = train_iris("bench")
        mlflow.register_model(f"models:/{trained.model_id}", "bench-iris")
    headers = {"Authorization": f"Bearer {token}"}
    with (
        studio.client(token) as api,
        httpx.Client(base_url=studio.scoring_url, headers=headers, timeout=30) as scoring,
    ):
        yield Bench(studio, api, scoring, trained)
