"""Summaries of metrics hold what the points hold, whoever wrote them, and at every moment."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from math import nan
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils.timezone import now
from mlflow.entities import Metric as Logged
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from studio.accounts.models import User
from studio.celery import app
from studio.lane import wires
from studio.lane.answers import answer
from studio.lane.asking import Asker
from studio.lane.messages import Body
from tests.support import rows
from tests.support.databases import aliased, database, for_mlflow, url_of
from tests.support.dump import DATA
from tracking import summaries
from tracking.models import Metric, MetricSummary, Run, StaleRun

LARGEST = 1.7976931348623157e308  # MLflow's infinity
_POINT = "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', %s, 1, %s, false, %s)"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark need not be old, nor older than the test's transaction."""
    monkeypatch.setattr(summaries, "REST", -timedelta(hours=1))
    monkeypatch.setattr(summaries, "REST_OF_A_POINT", timedelta(0))


@pytest.fixture
def run(db: None) -> Run:
    return rows.make_run(rows.make_experiment(), "one")


@pytest.fixture
def committed(transactional_db: None) -> Iterator[str]:
    """The address of the tests' database, in which others see what is written. Nothing of MLflow's is left."""
    yield url_of(str(connection.settings_dict["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments, roles CASCADE")


def add(run: Run, key: str, value: float, step: int, timestamp: int = 1) -> None:
    is_nan = value != value  # noqa: PLR0124 - NaN alone is unequal to itself
    stored = 0.0 if is_nan else value
    Metric.objects.create(
        run=run, key=key, value=stored, step=step, timestamp=timestamp, is_nan=is_nan
    )


def summary(run: Run, key: str = "loss") -> tuple[Any, ...]:
    """Of its count, minimum, maximum and first, with the steps of the last three."""
    found = MetricSummary.objects.get(run=run, key=key)
    ends = (found.minimum, found.minimum_step), (found.maximum, found.maximum_step)
    return found.count, *ends, ("nan" if found.first_is_nan else found.first, found.first_step)


# Values with their steps and timestamps, and what is told of them.
POINTS: dict[str, tuple[list[tuple[float, int, int]], tuple[Any, ...]]] = {
    "one": ([(5.0, 3, 1)], (1, (5, 3), (5, 3), (5, 3))),
    "equal at several steps": (
        [(1.0, 9, 1), (7.0, 8, 1), (1.0, 2, 9), (7.0, 4, 1), (3.0, -1, 1)],
        (5, (1, 2), (7, 4), (3, -1)),
    ),
    "several at the first step": ([(4.0, 0, 7), (9.0, 0, 5), (6.0, 0, 5)], (3, (4, 0), (9, 0), (6, 0))),
    "nan among them": ([(nan, 0, 1), (-2.0, 1, 1), (nan, 2, 1)], (3, (-2, 1), (-2, 1), ("nan", 0))),
    "nan and zero": ([(nan, 0, 1), (0.0, 0, 1)], (2, (0, 0), (0, 0), ("nan", 0))),
    "nothing but nan": ([(nan, 0, 1), (nan, 1, 1)], (2, (None, None), (None, None), ("nan", 0))),
    "infinite": ([(LARGEST, 1, 1), (-LARGEST, 2, 1)], (2, (-LARGEST, 2), (LARGEST, 1), (LARGEST, 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_summary_tells_of_all_points(run: Run, name: str, order: int) -> None:
    points, told = POINTS[name]
    for value, step, timestamp in points[::order]:
        add(run, "loss", value, step, timestamp)
        summaries.sum_up()  # each time: the last one counts
    assert summary(run) == told
    assert not StaleRun.objects.exists()


@pytest.mark.parametrize("key", ["it's", '"quoted"', "100%", "a/b c", "🎉", "k" * 250, "{0}"])
def test_any_name_is_a_key_of_its_own(run: Run, key: str) -> None:
    add(run, key, 1.0, 1)
    add(run, f"{key[1:]}x", 2.0, 1)
    summaries.sum_up()
    assert summary(run, key) == (1, (1, 1), (1, 1), (1, 1))
    assert MetricSummary.objects.count() == 2


def test_what_has_not_changed_is_not_written_again(run: Run) -> None:
    add(run, "loss", 1.0, 1)
    add(run, "acc", 1.0, 1)
    summaries.sum_up()
    asked = "SELECT key, xmin::text, ctid::text FROM tracking_metricsummary ORDER BY key"
    with connection.cursor() as cursor:
        cursor.execute(asked)
        before = cursor.fetchall()
        add(run, "loss", 2.0, 2)
        summaries.sum_up()
        cursor.execute(asked)
        after = cursor.fetchall()
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


@pytest.mark.parametrize(("minutes", "summed"), [(8, False), (17, False), (19, True)])
def test_a_mark_rests_the_longer_the_more_points_there_are(
    run: Run, monkeypatch: pytest.MonkeyPatch, minutes: int, summed: bool
) -> None:
    rows.log_metric(run, "loss", [1.0] * 9)
    summaries.sum_up()
    monkeypatch.setattr(summaries, "REST", timedelta(minutes=9))
    monkeypatch.setattr(summaries, "REST_OF_A_POINT", timedelta(minutes=1))
    add(run, "loss", 2.0, 99)
    StaleRun.objects.update(since=now() - timedelta(minutes=minutes))
    summaries.sum_up()
    assert StaleRun.objects.exists() is not summed


def test_when_time_is_up_the_others_wait_for_the_next_round(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(run, "loss", 1.0, 1)
    monkeypatch.setattr(summaries, "SECONDS", -1.0)
    summaries.sum_up()
    assert StaleRun.objects.get().taken
    assert not MetricSummary.objects.exists()
    monkeypatch.setattr(summaries, "SECONDS", 60.0)
    summaries.sum_up()
    assert summary(run)[0] == 1


def test_points_do_not_come_to_python(run: Run) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "SELECT 'loss', n, n, n, false, %s FROM generate_series(1, 50000) n",
            [run.pk],
        )
    tracemalloc.start()
    try:
        summaries.sum_up()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert summary(run) == (50_000, (1, 1), (50_000, 50_000), (1, 1))
    assert most < 500_000  # bytes: ten a point


def test_the_timetable_has_it() -> None:
    [entry] = [
        each
        for each in app.conf.beat_schedule.values()
        if each["task"] == "tracking.tasks.sum_up_metrics"
    ]
    assert (entry["schedule"], entry["options"]) == (10.0, {"expires": 10})


# Each stores the loss 3, 1 and 2 at the steps 1, 2 and 3.
LOSSES = [(3.0, 1), (1.0, 2), (2.0, 3)]


def by_lane(run: Run, user: User) -> None:
    metrics = [{"key": "loss", "value": v, "timestamp": 1, "step": s} for v, s in LOSSES]
    body = Body(json.dumps({"run_id": run.pk, "metrics": metrics}).encode(), "application/json")
    assert answer("mlflow/runs/log-batch", Asker(user.pk), body).status == 200


def by_store(run: Run, _: User) -> None:
    with mlflow_store() as store:
        store.log_batch(run.pk, [Logged("loss", v, 1, s) for v, s in LOSSES], [], [])


def by_single_metrics(run: Run, _: User) -> None:
    with mlflow_store() as store:
        for value, step in LOSSES:
            store.log_metric(run.pk, Logged("loss", value, 1, step))


def by_copy(run: Run, _: User) -> None:
    """Of many runs at once."""
    others = [rows.make_run(run.experiment) for _ in range(200)]  # type: ignore[arg-type]
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for each in (run, *others):
            for value, step in LOSSES:
                copy.write_row(("loss", value, 1, step, False, each.pk))
    assert StaleRun.objects.count() == 201


_COPY = "COPY metrics (key, value, timestamp, step, is_nan, run_uuid) FROM STDIN"


@contextmanager
def mlflow_store() -> Iterator[Any]:
    url = for_mlflow(url_of(str(connection.settings_dict["NAME"])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        store = SqlAlchemyStore(url, "mlflow-artifacts:/")
    try:
        yield store
    finally:
        store.engine.dispose()


@pytest.fixture
def lane(committed: str, settings: Settings) -> Iterator[None]:
    settings.DATABASE_URL = committed
    wires.pool.cache_clear()
    yield
    wires.pool(wires.WRITING).close()
    wires.pool.cache_clear()


@pytest.mark.parametrize("write", [by_lane, by_store, by_single_metrics, by_copy])
@pytest.mark.usefixtures("lane")
def test_whoever_writes_the_run_is_marked_and_summed_up(
    run: Run, alice: User, write: Callable[[Run, User], None]
) -> None:
    write(run, alice)
    assert StaleRun.objects.filter(run=run).count() == 1
    summaries.sum_up()
    assert not StaleRun.objects.exists()
    assert summary(run) == (3, (1, 2), (3, 1), (3, 1))


def test_a_retry_that_stores_nothing_marks_nothing(run: Run) -> None:
    add(run, "loss", 1.0, 1)
    summaries.sum_up()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO metrics SELECT * FROM metrics ON CONFLICT DO NOTHING")
    assert not StaleRun.objects.exists()


def test_a_server_that_sees_one_moment_in_all_of_its_transaction_marks_too(
    committed: str, run: Run
) -> None:
    """It cannot see that the mark it relies on has been taken."""
    add(run, "loss", 1.0, 1)
    with psycopg.connect(committed) as wire:
        wire.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        wire.execute("SELECT count(*) FROM tracking_stalerun")
        summaries.sum_up()
        wire.execute(_POINT, (0.0, 2, run.pk))
    summaries.sum_up()
    assert summary(run) == (2, (0, 2), (1, 1), (1, 1))


def test_who_has_no_rights_on_studios_tables_marks_too(committed: str, run: Run) -> None:
    """The function runs as its owner, and looks for no table in anybody's temporary schema."""
    asked = "SELECT prosecdef, proconfig FROM pg_proc WHERE proname = 'studio_mark_stale'"
    with psycopg.connect(committed) as wire:
        assert wire.execute(asked).fetchone() == (True, ["search_path=public, pg_temp"])
        wire.execute("CREATE TEMPORARY TABLE tracking_stalerun (run_id text)")
        wire.execute(_POINT, (0.0, 2, run.pk))
    assert StaleRun.objects.filter(run=run).exists()


def test_with_a_run_that_is_deleted_for_good_its_rows_go(committed: str, run: Run) -> None:
    add(run, "loss", 1.0, 1)
    summaries.sum_up()
    add(run, "loss", 1.0, 2)
    assert (MetricSummary.objects.count(), StaleRun.objects.count()) == (1, 1)
    with mlflow_store() as store:
        store._hard_delete_run(run.pk)
    assert (MetricSummary.objects.count(), StaleRun.objects.count()) == (0, 0)


def test_runs_from_before_there_were_summaries_are_marked(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    [earlier] = DATA.glob("schema-*-tracking3.sql")
    with database() as url, aliased(url) as alias, django_db_blocker.unblock():
        with psycopg.connect(url) as wire:
            wire.execute(earlier.read_text().encode())
        with psycopg.connect(url) as wire:
            wire.execute(
                "INSERT INTO runs (run_uuid, status, lifecycle_stage, experiment_id) "
                "SELECT 'bare', 'FINISHED', 'active', min(experiment_id) FROM runs"
            )
            logged = wire.execute("SELECT DISTINCT run_uuid FROM metrics").fetchall()
        flags = ["--verbosity=0", "--no-input", f"--database={alias}"]
        call_command("migrate", *flags, stdout=StringIO())
        marked = StaleRun.objects.using(alias).values_list("run_id")
        assert len(logged) == 3
        assert set(marked) == set(logged)
