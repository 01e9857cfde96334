"""When a run was last written to: noted without a lock, written down in one statement, kept while nobody takes it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import monotonic
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection
from django.utils.timezone import now

from studio.accounts import services
from studio.accounts.models import User
from studio.health.models import Process
from tests.support.databases import url_of
from tests.support.processes import until
from tests.support.web import serving
from tracking import activity
from tracking.activity import Activity
from tracking.models import Experiment, Run, RunActivity
from tracking.tasks import forget_gone

pytestmark = pytest.mark.django_db
MakeRun = Callable[..., Run]
Wire = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def wire(db: None) -> Wire:
    """The tests' own: what is written goes with the test."""
    connection.ensure_connection()
    found: Wire = connection.connection
    return found


@pytest.fixture
def away(db: None) -> Wire:
    """A connection to a database that has gone."""
    with psycopg.connect(url_of(str(connection.settings_dict["NAME"]))) as closed:
        pass
    return closed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one second that it is, in which to set it."""
    hand = [1000.0]
    monkeypatch.setattr(activity, "monotonic", lambda: hand[0])
    return hand


@pytest.fixture
def run(make_experiment: Callable[..., Experiment], make_run: MakeRun) -> Run:
    return make_run(make_experiment())


def ago(run: Run) -> float | None:
    """Seconds since its last write, as PostgreSQL's clock has it in this transaction."""
    with connection.cursor() as cursor:
        asked = "SELECT extract(epoch FROM now() - last_write_at)::float8 FROM tracking_runactivity WHERE run_id = %s"
        cursor.execute(asked, [run.pk])
        row = cursor.fetchone()
    return None if row is None else round(row[0], 3)


def test_the_last_write_counts_and_only_of_runs_that_exist(
    wire: Wire, clock: list[float], run: Run, make_run: MakeRun
) -> None:
    noted, other = Activity(), make_run(run.experiment)
    for run_id in (run.pk, other.pk, "0" * 32):
        noted.note(run_id)
    clock[0] += 3
    noted.note(run.pk)
    clock[0] += 2
    noted.write(wire)
    assert (ago(run), ago(other), RunActivity.objects.count()) == (2, 5, 2)


def test_nothing_is_asked_of_the_database_where_nothing_was_noted(away: Wire, run: Run) -> None:
    noted = Activity()
    noted.write(away)
    noted.note(run.pk)
    with pytest.raises(psycopg.OperationalError):
        noted.write(away)


def test_what_is_written_later_of_an_earlier_write_takes_nothing_back(
    wire: Wire, clock: list[float], run: Run
) -> None:
    early, late = Activity(), Activity()  # of two processes
    early.note(run.pk)
    clock[0] += 7
    late.note(run.pk)
    late.write(wire)
    early.write(wire)
    assert ago(run) == 0


def test_a_time_from_before_the_clock_was_set_back_does_not_stay(
    wire: Wire, clock: list[float], run: Run
) -> None:
    RunActivity.objects.create(run_id=run.pk, last_write_at=now() + timedelta(hours=1))
    noted = Activity()
    noted.note(run.pk)
    clock[0] += 2
    noted.write(wire)
    assert ago(run) == 0


def test_while_the_database_is_away_it_is_kept_and_goes_once_it_is_back(
    wire: Wire, away: Wire, clock: list[float], run: Run, make_run: MakeRun
) -> None:
    noted, other = Activity(), make_run(run.experiment)
    for run_id in (run.pk, other.pk):
        noted.note(run_id)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            noted.write(away)
        clock[0] += 5
    noted.note(other.pk)
    noted.write(wire)
    assert (ago(run), ago(other)) == (10, 0)
    RunActivity.objects.all().delete()
    noted.write(wire)
    assert not RunActivity.objects.exists()  # what was written is forgotten


def test_as_many_runs_are_kept_as_fit_however_long_it_is_away(
    wire: Wire, away: Wire, run: Run, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "MOST", 2)
    monkeypatch.setattr(activity, "AT_ONCE", 2)
    noted = Activity()
    runs = [run, *(make_run(run.experiment) for _ in range(5))]
    for first in (0, 2, 4):
        for one in runs[first : first + 2]:
            noted.note(one.pk)
        with pytest.raises(psycopg.OperationalError):
            noted.write(away)
    noted.note(runs[3].pk)  # which is among them, and so not too many
    noted.write(wire)
    assert {one.pk for one in RunActivity.objects.all()} == {one.pk for one in runs[:4]}
    noted.note(runs[4].pk)
    noted.write(wire)
    assert ago(runs[4]) is not None


@pytest.mark.parametrize(
    ("place", "counts"),
    [
        ("", True),
        ("mlflow-artifacts:/{experiment}/{run}/artifacts", True),
        ("{experiment}", True),
        ("mlflow-artifacts:/0/{run}/artifacts", False),
        ("0", False),
        ("?", False),
    ],
)
def test_who_may_only_write_to_a_place_writes_to_the_run_that_is_there(
    wire: Wire, run: Run, place: str, counts: bool
) -> None:
    noted = Activity()
    noted.note(run.pk, place.format(experiment=run.experiment_id, run=run.pk))
    noted.write(wire)
    assert RunActivity.objects.filter(pk=run.pk).exists() is counts


def test_a_run_that_was_told_of_in_several_ways_has_one_row(
    wire: Wire, clock: list[float], run: Run
) -> None:
    noted = Activity()
    noted.note(run.pk, run.artifact_uri or "")
    clock[0] += 4
    noted.note(run.pk, str(run.experiment_id))
    clock[0] += 1
    noted.write(wire)
    assert ago(run) == 1


class Recorder:
    """In a connection's place: keeps what it is given."""

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}

    def execute(self, _: str, columns: list[list[Any]]) -> None:
        runs, _places, ages = columns
        for run_id, age in zip(runs, ages, strict=True):
            self.latest[run_id] = max(self.latest.get(run_id, 0.0), monotonic() - age)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as Python lets them."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
def test_no_note_is_lost_between_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST", 100_000)
    noted, recorder, ended = Activity(), Recorder(), threading.Event()
    last: dict[str, float] = {}

    def work(number: int) -> None:
        for count in range(9000):
            run_id = f"{number}-{count}"
            last[run_id] = monotonic()
            noted.note(run_id)

    def write() -> None:
        while not ended.is_set():
            noted.write(recorder)  # type: ignore[arg-type]

    writer = threading.Thread(target=write)
    workers = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in (writer, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    ended.set()
    writer.join()
    noted.write(recorder)  # type: ignore[arg-type]
    early = [run_id for run_id, at in last.items() if recorder.latest.get(run_id, 0.0) < at - 1e-6]
    assert (len(last), early) == (54_000, [])


def test_runs_that_are_gone_are_forgotten(run: Run, make_run: MakeRun) -> None:
    deleted = make_run(run.experiment, lifecycle_stage="deleted")
    for run_id in (run.pk, deleted.pk, "0" * 32):
        RunActivity.objects.create(run_id=run_id, last_write_at=now())
    forget_gone()
    assert {one.pk for one in RunActivity.objects.all()} == {run.pk, deleted.pk}


@pytest.fixture
def emptied(transactional_db: None) -> Iterator[None]:
    """Django empties its own tables after such a test, and leaves MLflow's."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments CASCADE")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("emptied")
def test_a_web_process_that_is_stopped_writes_down_what_it_has_noted(run: Run, alice: User) -> None:
    _, token = services.issue_token(user=alice, label="laptop", by=alice)
    body = {"run_id": run.pk, "key": "depth", "value": "3"}
    with serving() as address:
        until(lambda: Process.objects.filter(name="web").exists(), "its first beat")
        answer = httpx.post(
            f"{address}/api/2.0/mlflow/runs/log-parameter",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert answer.status_code == 200
    assert RunActivity.objects.filter(pk=run.pk).exists()
    assert not Process.objects.filter(name="web").exists()  # and says goodbye
