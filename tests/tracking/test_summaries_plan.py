"""What a filter by all values of a metric costs PostgreSQL: of runs that are summed up it reads no point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from studio.lib.sql import Sql
from tests.support import rows
from tracking.models import Experiment, StaleRun
from tracking.search import Search

RUNS = 2_000
_FILL = """
INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id)
SELECT md5(n::text), 'run', 'FINISHED', n, 'active', %(experiment)s FROM generate_series(1, %(runs)s) n;
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT 'loss', step + n, 1, step, false, md5(n::text) FROM generate_series(1, %(runs)s) n, generate_series(1, 5) step;
INSERT INTO tracking_metricsummary (run_id, key, count, minimum, minimum_step, maximum, maximum_step,
                                    first, first_step, first_is_nan)
SELECT md5(n::text), 'loss', 5, 1 + n, 1, 5 + n, 5, 1 + n, 1, false FROM generate_series(1, %(runs)s) n;
DELETE FROM tracking_stalerun WHERE run_id <> md5('7');
ANALYZE runs, metrics, tracking_metricsummary, tracking_stalerun
"""
MEANT = ("min(metrics.loss) < 9", "max(metrics.loss) < 13", "first(metrics.loss) < 9")


@pytest.fixture
def large(db: None) -> Experiment:
    """An experiment of so many runs, of which the planner knows. One of them is stale."""
    made = rows.make_experiment()
    with connection.cursor() as cursor:
        for statement in _FILL.split(";"):
            cursor.execute(statement, {"experiment": made.pk, "runs": RUNS})
    assert StaleRun.objects.count() == 1
    return made


@pytest.mark.parametrize("given", [*MEANT, "count(metrics.loss) < 5", "NOT min(metrics.loss) >= 9"])
def test_points_are_read_of_stale_runs_alone(large: Experiment, given: str) -> None:
    nodes = explained(large, given)
    of_points = [node for node in nodes if node.get("Relation Name") == "metrics"]
    assert sum(node["Actual Loops"] for node in of_points) == 1
    of_summaries = [node for node in nodes if node.get("Relation Name") == "tracking_metricsummary"]
    assert {node.get("Index Name") for node in of_summaries} == {"tracking_metricsummary_pkey"}


@pytest.mark.parametrize("given", MEANT)
def test_it_finds_stale_ones_and_others(large: Experiment, given: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(*Search.read([large.pk], ["active"], given, []).total)
        assert cursor.fetchone() == (7,)


@pytest.mark.parametrize(
    ("given", "index"),
    [(MEANT[0], "metric_summary_by_minimum"), (MEANT[1], "metric_summary_by_maximum")],
)
def test_a_few_of_many_are_found_by_an_index(large: Experiment, given: str, index: str) -> None:
    asked = []

    def fetch(statement: Sql) -> list[Any]:
        asked.append(statement)
        with connection.cursor() as cursor:
            cursor.execute(*statement)
            return list(cursor.fetchall())

    narrow = Search.read([large.pk], ["active"], given, []).narrowed(fetch)
    assert fetch(narrow.total) == [(7,)]
    first, then = (plan(statement) for statement in asked)
    assert index in {node.get("Index Name") for node in first}
    [runs] = [node for node in then if node.get("Relation Name") == "runs"]
    assert runs["Actual Rows"] == 7
    assert "run_pk" in {node.get("Index Name") for node in then}


@pytest.mark.parametrize("given", ["min(metrics.loss) > 9", "NOT min(metrics.loss) > 9"])
def test_of_many_none_is_left_out(large: Experiment, given: str) -> None:
    wanted = Search.read([large.pk], ["active"], given, [])
    with connection.cursor() as cursor:
        cursor.execute(*wanted.narrowed(lambda _: [("x",)] * RUNS).total)
        found = cursor.fetchone()
        cursor.execute(*wanted.total)
        assert cursor.fetchone() == found


def explained(experiment: Experiment, given: str) -> list[dict[str, Any]]:
    """The nodes of the plan by which all runs are found, as it was carried out."""
    return plan(Search.read([experiment.pk], ["active"], given, []).total)


def plan(asked: Sql) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked.text}", asked.given)
        ((plans,),) = cursor.fetchall()
    return list(below(plans[0]["Plan"]))


def below(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from below(inner)
