"""A summariser among writers and other summarisers: at each moment what a reader is told is what the points say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from studio.lib.sql import Sql
from tests.support import rows
from tests.support.databases import url_of
from tests.support.processes import until
from tracking import summaries
from tracking.models import Experiment, Metric, MetricSummary, Run, StaleRun
from tracking.search import Search

_POINT = "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', %s, 1, %s, false, %s)"
# A run's loss as its points have it.
_TRUTH = """
    SELECT count(*), min(value), max(value), (array_agg(value ORDER BY step))[1] FROM metrics WHERE run_uuid = %s
"""
# What `sum_up` asks of PostgreSQL for one run, in turn. A place is the moment before one of them; the last, after all.
STEPS = ("due", "begin", "lock", "take", "begin", "taken", "sums", "delete")
PLACES = range(len(STEPS) + 1)
LOCK, TAKE = STEPS.index("lock"), STEPS.index("take")


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark need not be old, nor older than the test's transaction."""
    monkeypatch.setattr(summaries, "REST", -timedelta(hours=1))
    monkeypatch.setattr(summaries, "REST_OF_A_POINT", timedelta(0))


@pytest.fixture
def url(transactional_db: None) -> Iterator[str]:
    """Of the tests' database, in which others see what is written. Nothing of MLflow's is left."""
    yield url_of(str(connection.settings_dict["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments CASCADE")


@pytest.fixture
def experiment(url: str) -> Experiment:
    return rows.make_experiment()


@pytest.fixture
def reader(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Sees one moment in all of a transaction."""
    with psycopg.connect(url, autocommit=True) as wire:
        wire.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield wire


class Writer:
    """Another server, which takes its time between a point and its commit."""

    def __init__(self, url: str, run: Run) -> None:
        self.run, self.kept_out = run, False
        self.wire = psycopg.connect(url, options="-c lock_timeout=5ms")

    def write(self) -> None:
        """A point that is smaller than all others, and earlier."""
        try:
            self.wire.execute(_POINT, (0.5, 0, self.run.pk))
        except psycopg.errors.LockNotAvailable:
            self.kept_out = True

    def commit(self) -> None:
        self.wire.commit()


class Moments:
    """Acts at given places of `sum_up`, and asks before and after each what a reader is told."""

    def __init__(
        self, reader: psycopg.Connection[Any], run: Run, acts: list[tuple[int, Callable[[], None]]]
    ) -> None:
        self.reader, self.run, self.acts, self.place = reader, run, acts, 0

    def sum_up(self) -> int:
        """Returns how many statements it has sent."""
        with connection.execute_wrapper(self._before):
            summaries.sum_up()
        sent = self.place
        while self.place in PLACES:
            self._arrive()
        return sent

    def _before(self, execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        self._arrive()
        return execute(sql, given, many, context)

    def _arrive(self) -> None:
        self.look()
        for act in [act for place, act in self.acts if place == self.place]:
            act()
            self.look()
        self.place += 1

    def look(self) -> None:
        with self.reader.transaction():
            numbers = self.reader.execute(_TRUTH, [self.run.pk]).fetchone() or ()
            told = zip(("count", "min", "max", "first"), numbers, strict=True)
            asked = " AND ".join(f"{name}(metrics.loss) = {number}" for name, number in told)
            wanted = Search.read([self.run.experiment_id or 0], ["active"], asked, [])
            found = wanted.page("runs.run_uuid", self._fetch, 100, 0)
        assert (self.run.pk,) in found, asked

    def _fetch(self, statement: Sql) -> list[Any]:
        return self.reader.execute(statement.text.encode(), statement.given).fetchall()


def written_to(experiment: Experiment) -> Run:
    """A run that was summed up, and then written to again."""
    run = rows.make_run(experiment)
    add(run, 2.0, 5)
    summaries.sum_up()
    add(run, 3.0, 6)
    return run


def add(run: Run, value: float, step: int) -> None:
    Metric.objects.create(run=run, key="loss", value=value, step=step, timestamp=1, is_nan=False)


def summed_up(run: Run) -> bool:
    """Whether its summary is what its points say."""
    with connection.cursor() as cursor:
        cursor.execute(_TRUTH, [run.pk])
        numbers = cursor.fetchone()
    kept = MetricSummary.objects.filter(run=run)
    return list(kept.values_list("count", "minimum", "maximum", "first")) == [numbers]


@pytest.mark.parametrize("writes", PLACES)
def test_a_writer_makes_no_summary_wrong_whenever_it_writes_and_commits(
    url: str, experiment: Experiment, reader: psycopg.Connection[Any], writes: int
) -> None:
    for commits in PLACES[writes:]:
        run = written_to(experiment)
        writer = Writer(url, run)
        with writer.wire:
            moments = Moments(reader, run, [(writes, writer.write), (commits, writer.commit)])
            sent = moments.sum_up()
        holds_it_up = writes <= LOCK < commits
        assert sent == (TAKE if holds_it_up else len(STEPS))
        assert writer.kept_out is (writes == TAKE)  # and from no other moment on
        summaries.sum_up()
        assert summed_up(run)
        assert not StaleRun.objects.exists()


@pytest.mark.parametrize("writes", PLACES)
def test_two_summarisers_at_once_make_no_summary_wrong(
    url: str, experiment: Experiment, reader: psycopg.Connection[Any], writes: int
) -> None:
    """The second comes and goes within the first, as far as the first's locks let it."""
    for comes in PLACES:
        run = written_to(experiment)
        writer = Writer(url, run)
        acts = [(writes, writer.write), (writes, writer.commit), (comes, sum_up_elsewhere)]
        with writer.wire:
            Moments(reader, run, acts).sum_up()
        summaries.sum_up()
        assert summed_up(run)
        assert not StaleRun.objects.exists()


def sum_up_elsewhere() -> None:
    """As another worker does."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            summaries.sum_up()
        except BaseException as failure:  # noqa: BLE001 - the test's to look at
            raised.append(failure)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not raised


# Who has said so stands still between what he has counted and what he writes down: he tells by one lock, and goes on
# once nobody holds another.
_STAND_STILL = """
CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('test.stands_still', true) = 'yes' THEN
        PERFORM pg_advisory_xact_lock(1);
        WHILE NOT pg_try_advisory_xact_lock(2) LOOP PERFORM pg_sleep(0.01); END LOOP;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stand_still BEFORE INSERT ON tracking_metricsummary FOR EACH ROW EXECUTE FUNCTION stand_still()
"""
_STANDS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = 1"


@pytest.fixture
def standing_still(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Holds up who stands still, until it unlocks 2."""
    with psycopg.connect(url, autocommit=True) as wire:
        wire.execute(_STAND_STILL)
        wire.execute("SELECT pg_advisory_lock(2)")
        yield wire
        wire.execute("DROP FUNCTION stand_still CASCADE")


def test_what_was_counted_earlier_does_not_replace_what_was_counted_later(
    url: str, experiment: Experiment, standing_still: psycopg.Connection[Any]
) -> None:
    run = written_to(experiment)
    first = threading.Thread(target=sum_up_and_stand_still)
    first.start()
    until(lambda: standing_still.execute(_STANDS).fetchone() == (1,), "it has counted")
    add(run, 0.5, 0)
    summaries.sum_up()
    standing_still.execute("SELECT pg_advisory_unlock(2)")
    first.join(60)
    assert StaleRun.objects.exists() or summed_up(run)
    summaries.sum_up()
    assert summed_up(run)
    assert not StaleRun.objects.exists()


def sum_up_and_stand_still() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET test.stands_still = 'yes'")
        summaries.sum_up()
        cursor.execute("RESET test.stands_still")
    connection.close()


@pytest.mark.parametrize("place", PLACES)
def test_one_that_is_killed_leaves_nothing_wrong(
    experiment: Experiment, reader: psycopg.Connection[Any], place: int
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    run = written_to(experiment)
    moments = Moments(reader, run, [(place, kill)])
    with pytest.raises(Killed):
        moments.sum_up()
    moments.look()
    add(run, 1.0, 1)
    moments.look()
    summaries.sum_up()
    assert summed_up(run)
    assert not StaleRun.objects.exists()


def test_writers_of_one_run_wait_for_nobody(url: str, experiment: Experiment) -> None:
    """Of marks that are not committed they know nothing: each makes its own."""
    run = rows.make_run(experiment)
    with psycopg.connect(url, options="-c lock_timeout=5ms") as other, Writer(url, run).wire as one:
        one.execute(_POINT, (1.0, 1, run.pk))
        other.execute(_POINT, (2.0, 2, run.pk))
    assert StaleRun.objects.filter(run=run).count() == 2
    summaries.sum_up()
    assert summed_up(run)
    assert not StaleRun.objects.exists()


def test_a_long_transaction_holds_up_its_own_slot_alone(url: str, experiment: Experiment) -> None:
    runs = [written_to(experiment) for _ in range(8)]
    slots = dict(zip(runs, map(slot, runs), strict=True))
    with psycopg.connect(url) as wire:
        wire.execute(_POINT, (1.0, 1, runs[0].pk))
        for run in runs:
            add(run, 4.0, 7)
        summaries.sum_up()
        left = set(StaleRun.objects.values_list("run_id", flat=True))
        assert left == {run.pk for run in runs if slots[run] == slots[runs[0]]}
    summaries.sum_up()
    assert all(map(summed_up, runs))


def slot(run: Run) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT hashtext(%s) & 63", [run.pk])
        return int(cursor.fetchone()[0])
