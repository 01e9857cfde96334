"""Writing runs: Studio beside `mlflow server` and FastTrackML, the same work in turn on one PostgreSQL.

Studio asks who calls and what he may, and waits for the disk; the peers ask nobody.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from studio.accounts.models import User
from tests.bench import floor
from tests.bench.comparing import Comparison, Mark
from tests.bench.load import drive
from tests.bench.peers import fasttrackml, mlflow_server
from tests.bench.sides import FASTTRACKML, MLFLOW, STUDIO, Side
from tests.bench.writes import NUMBERS, ROWS, Row, Written, check
from tests.support.grants import grant_mlflow
from tests.support.live import Studio
from tests.support.rows import make_experiment

ROUNDS, SECONDS = 5, 2.5  # of each side in turn; a first round is not counted
WRITER = "writer"  # no administrator: may EDIT the one experiment


Rate = Callable[[Row, float], float]  # conversations a second, measured for so many seconds


def measure(studio: Studio, rows: Sequence[Row] = ROWS) -> Iterator[Comparison]:
    """Each row's as soon as it is there."""
    with _sides(studio, rows) as sides:
        for row in rows:
            yield _compare(row, sides)


def _compare(row: Row, sides: Mapping[str, Rate]) -> Comparison:
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, rate in sides.items():
            measured = rate(row, SECONDS) * row.each
            rates[name] += [measured] if number else []
    medians = {name: median(each) for name, each in rates.items()}
    return Comparison(row.title, row.unit, medians, _marks(row))


def _marks(row: Row) -> Mapping[str, Mark]:
    times = 5 if row.connections == 1 else 10
    marks = {MLFLOW: Mark("at least", times), FASTTRACKML: Mark("more than", 1)}
    return marks | ({floor.NAME: Mark("at least", 0.6)} if row.each > 1 else {})


def rate(side: Side, row: Row, seconds: float) -> float:
    """Conversations a second, all of them found again in the database."""
    written = Written()
    beginnings = [row.talk(side, written, NUMBERS) for _ in range(row.connections)]
    tally = drive(side.address, beginnings, seconds)
    check(side, row, written, tally.done)
    return tally.rate


@contextmanager
def _sides(studio: Studio, rows: Sequence[Row]) -> Iterator[Mapping[str, Rate]]:
    own = studio_side(studio)
    alone = floor.Floor(studio, own, rows)
    with (
        tempfile.TemporaryDirectory(prefix="studio-bench-") as folder,
        mlflow_server(own.database, Path(folder)) as mlflow,
        fasttrackml(own.database, Path(folder)) as go,
    ):
        over_http = {side.name: partial(rate, side) for side in (own, mlflow, go)}
        yield over_http | {floor.NAME: alone.rate}


def studio_side(studio: Studio) -> Side:
    """Studio as a user with a token and a grant writes to it. Fails where a commit would not wait for the disk."""
    prepare = "from tests.bench.writing import prepare; print(prepare())"
    experiment = studio.manage("shell", "--verbosity=0", "-c", prepare)
    database = json.loads(studio.manage("status", "--json"))["database_url"]
    side = Side(STUDIO, ("127.0.0.1", studio.port), database, experiment, studio.token(WRITER))
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert side.value(f"SHOW {setting}") == "on", setting
    return side


def prepare() -> str:
    """Make the user and the experiment. Returns its id. Runs in a process of Studio."""
    experiment = make_experiment(f"writes {uuid.uuid4().hex}")  # a name of its own each time
    writer = User.objects.filter(username=WRITER).first() or User.objects.create_user(WRITER)
    assert not writer.is_superuser
    grant_mlflow(writer, "experiment", experiment.pk, "EDIT")
    return str(experiment.pk)
