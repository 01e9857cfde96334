"""Reading runs and models: Studio beside `mlflow server` and FastTrackML, the same questions in turn on one PostgreSQL.

Studio asks who calls and what he may see; the peers ask nobody.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import psutil
from django.db import transaction

from studio.accounts.models import User
from studio.accounts.permissions import ANY
from tests.bench.comparing import Comparison
from tests.bench.content import Content, looked_into
from tests.bench.load import Conversation, drive
from tests.bench.peers import fasttrackml, mlflow_server
from tests.bench.reads import ROWS, Row
from tests.bench.seeding import EXPERIMENTS, Seeded
from tests.bench.sides import STUDIO, Side
from tests.support.grants import grant_mlflow
from tests.support.live import Studio
from tests.support.rows import make_experiment
from tracking.models import Experiment

ROUNDS, SECONDS = 5, 2.5  # of each side in turn; a first round is not counted
ANSWERS = 3  # of each side in a round, however long they take
READER = "reader"  # no administrator: may READ the experiments and all models, and nothing else


def measure(studio: Studio, rows: Sequence[Row] = ROWS) -> Iterator[Comparison]:
    """Each row's as soon as it is there."""
    with _sides(studio) as sides:
        for row in rows:
            own, *peers = sides
            asked = [peer for peer in peers if peer.side.name in row.peers]
            yield _compare(row, [own, *asked]) if asked else _held(studio, row, own)


def _held(studio: Studio, row: Row, own: Seeded) -> Comparison:
    """What web's workers hold is told with the row's name."""
    before = resident(studio)
    alone = _compare(row, [own])
    after, most = resident(studio), resident(studio, "VmHWM")
    seconds = row.each / alone.rates[STUDIO]
    told = (
        f"{seconds:.1f} s; web's largest worker held {max(before):.0f} MB before, {max(most):.0f} MB at most, "
        f"{max(after):.0f} MB after"
    )
    return replace(alone, name=f"{row.title} ({told})")


def _compare(row: Row, sides: Sequence[Seeded]) -> Comparison:
    with ThreadPoolExecutor() as at_once:  # the first to ask waits until what it asks for is there
        requests = at_once.map(row.ask, sides)
        asked = {seeded.side: request for seeded, request in zip(sides, requests, strict=True)}
    lengths = _lengths(row, asked)
    rates = in_turn(
        {
            side.name: partial(rate, side, request, lengths[side], row.connections)
            for side, request in asked.items()
        }
    )
    each = {name: answers * row.each for name, answers in rates.items()}
    return Comparison(row.title, row.unit, each, row.marks)


def _lengths(row: Row, asked: Mapping[Side, bytes]) -> dict[Side, int]:
    """Of each side's answer. Raises RuntimeError unless all answer the same, with all values."""
    lengths: dict[Side, int] = {}
    expected: Content | None = None
    for side, request in asked.items():
        answer = side.answer(request)
        lengths[side] = len(answer)
        found = looked_into(side, row.title, row.values, answer)
        if found != (expected or found):
            raise RuntimeError(f"{side.name}, {row.title}: other content than Studio's")
        expected = found
    return lengths


def in_turn(rates: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each, of so many rounds."""
    measured: dict[str, list[float]] = {name: [] for name in rates}
    for number in range(ROUNDS + 1):
        for name, measure_once in rates.items():
            found = measure_once()
            measured[name] += [found] if number else []
    return {name: median(each) for name, each in measured.items()}


def rate(side: Side, request: bytes, length: int, connections: int = 1) -> float:
    """Answers a second. Raises RuntimeError where one is not as long as it was when it was looked into."""

    def talk() -> Conversation:
        answer = yield request
        if len(answer) != length:
            raise RuntimeError(f"{side.name}: an answer of {len(answer)} bytes, not of {length}")

    return drive(side.address, [talk] * connections, SECONDS, at_least=ANSWERS).rate


def resident(studio: Studio, which: str = "VmRSS") -> list[float]:
    """MB of each of web's workers: now, or at most since it was started, `VmHWM`."""
    found = []
    for worker in psutil.Process(studio.pid("web")).children():
        told = Path(f"/proc/{worker.pid}/status").read_text()
        found += [
            int(line.split()[1]) / 1000 for line in told.splitlines() if line.startswith(which)
        ]
    return found


@contextmanager
def _sides(studio: Studio) -> Iterator[Sequence[Seeded]]:
    own = studio_side(studio)
    database = own.side.database
    with (
        tempfile.TemporaryDirectory(prefix="studio-bench-") as folder,
        mlflow_server(database, Path(folder)) as mlflow,
        fasttrackml(database, Path(folder)) as go,
    ):
        yield [own, _peer(mlflow), _peer(go)]


def _peer(side: Side) -> Seeded:
    made = {name: side.ask("experiments/create", name=name) for name in EXPERIMENTS}
    return Seeded(side, {name: str(told["experiment_id"]) for name, told in made.items()})


def studio_side(studio: Studio) -> Seeded:
    """Studio as a user with a token and grants to read asks it."""
    prepare = "from tests.bench.reading import prepare; print(prepare())"
    experiments = json.loads(studio.manage("shell", "--verbosity=0", "-c", prepare))
    database = json.loads(studio.manage("status", "--json"))["database_url"]
    side = Side(STUDIO, ("127.0.0.1", studio.port), database, "", studio.token(READER))
    return Seeded(side, experiments)


@transaction.atomic
def prepare() -> str:
    """Make the user and the experiments. Returns their ids by name, as JSON. Runs in a process of Studio."""
    reader = User.objects.filter(username=READER).first() or User.objects.create_user(READER)
    assert not reader.is_superuser
    ids = {}
    for name in EXPERIMENTS:
        experiment = Experiment.objects.filter(name=name).first() or make_experiment(name)
        grant_mlflow(reader, "experiment", experiment.pk, "READ")
        ids[name] = str(experiment.pk)
    grant_mlflow(reader, "registered_model", ANY, "READ")
    return json.dumps(ids)
