"""The series that charts are drawn from: Studio's answer in times of the same statement in psql."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

from studio.launch.postgres import program
from tests.bench.copying import Rows, copy_rows
from tests.bench.floor import of_libpq
from tests.bench.seeded_runs import run_id
from tests.bench.timing import Caller, Result
from tests.support.live import Studio
from tests.support.rows import make_experiment
from tracking.charts import axes
from tracking.charts.series import CALM, statement

ROUNDS, EACH = 5, 4  # of each side in turn; a first round is not counted
MARK = 1.3
_START = 1_700_000_000_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of so many runs, of so many points each."""

    runs: int
    points: int
    buckets: int

    @property
    def name(self) -> str:
        whose = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"series of {whose} × {self.points:,} points, {self.buckets} buckets"

    @property
    def ids(self) -> list[str]:
        return [run_id(self.name, number) for number in range(self.runs)]


CHARTS = [Chart(100, 10_000, 200), Chart(1, 1_000_000, 500)]


def measure(studio: Studio) -> Iterator[Result]:
    """As an administrator."""
    make = "from tests.bench.charts import prepare; print(prepare())"
    experiment = int(studio.manage("shell", "--verbosity=0", "-c", make))
    database = json.loads(studio.manage("status", "--json"))["database_url"]
    caller = Caller(studio.url, studio.token())
    with psycopg.connect(database, autocommit=True) as connection:
        for chart in CHARTS:
            copy_rows(connection, [_runs(chart, experiment), _points(chart)])
            yield _compare(chart, caller, database, connection)
    caller.close()


def prepare() -> int:
    """Make the experiment. Returns its id. Runs in a process of Studio."""
    return int(make_experiment("charts").pk)


def _runs(chart: Chart, experiment: int) -> Rows:
    columns = ["run_uuid", "name", "user_id", "status", "start_time", "lifecycle_stage", "artifact_uri", "experiment_id"]  # fmt: skip
    each = (
        (run, run[:8], "alice", "FINISHED", _START, "active", f"mlflow-artifacts:/bench/{run}", experiment)
        for run in chart.ids
    )  # fmt: skip
    return Rows("runs", columns, each)


def _points(chart: Chart) -> Rows:
    columns = ["run_uuid", "key", "value", "timestamp", "step", "is_nan"]
    each = (
        (run, "loss", (step * 48_271 + place) % 1_000_003 / 1_000_003, _START + step, step, False)
        for place, run in enumerate(chart.ids)
        for step in range(chart.points)
    )
    return Rows("metrics", columns, each)


def _compare(
    chart: Chart, caller: Caller, database: str, connection: psycopg.Connection[object]
) -> Result:
    asked = {"runs": chart.ids, "keys": ["loss"], "axis": "step", "buckets": chart.buckets}
    question = json.dumps(asked).encode()
    runs = [(run, _START) for run in chart.ids]
    bare = statement(runs, ["loss"], axes.by_step(None, None), chart.buckets)
    text = psycopg.ClientCursor(connection).mogrify(bare.text, bare.given)
    answered, alone = [], []
    for number in range(ROUNDS + 1):
        ours = [_seconds(caller, question) for _ in range(EACH)]
        theirs = _in_psql(text, database)
        if number:
            answered += ours
            alone += theirs
    ours_at, theirs_at = median(answered), median(alone)
    told = {"Studio": f"{ours_at * 1000:.0f} ms", "psql": f"{theirs_at * 1000:.0f} ms"}
    return Result(chart.name, told, ours_at / theirs_at, "×", "at most", MARK)


def _seconds(caller: Caller, question: bytes) -> float:
    began = perf_counter()
    caller.post("/series/", question)
    return perf_counter() - began


def _in_psql(text: str, database: str) -> list[float]:
    """Seconds that psql tells of each time, without those that it takes to start."""
    with tempfile.NamedTemporaryFile("w", prefix="studio-bench-", suffix=".sql") as script:
        script.write("\n".join(["BEGIN;", f"{CALM};", "\\timing on", *[f"{text};"] * EACH]))
        script.flush()
        command: list[str | Path] = [program("psql"), "-Xqt", "-v", "ON_ERROR_STOP=1", "-f", script.name]  # fmt: skip
        done = subprocess.run(
            command, env=os.environ | of_libpq(database), capture_output=True, text=True, check=True
        )
    times = [line for line in done.stdout.splitlines() if line.startswith("Time: ")]
    return [float(line.split()[1]) / 1000 for line in times]
