"""What a chart is drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from tests.support.rows import log_metric
from tracking.models import Metric, Run
from tracking.series import MOST_POINTS, series

_INF = 1.7976931348623157e308  # MLflow's infinity


@pytest.fixture
def run(make_experiment: Callable[..., object], make_run: Callable[..., Run]) -> Run:
    return make_run(make_experiment())


def log_many(run: Run, expression: str, points: int) -> None:
    """Points at steps 0, 1, …; `expression` is SQL over `step`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan)"  # noqa: S608 - ours
            f" SELECT %s, 'loss', step, step, {expression}, false FROM generate_series(0, %s) step",
            [run.pk, points - 1],
        )


def test_few_points_are_all_there(run: Run) -> None:
    log_metric(run, "loss", [3.0, 1.0, 2.0])
    log_metric(run, "acc", [9.0])
    told = series(run, "loss")
    assert told["key"] == "loss"
    assert told["steps"] == [0, 1, 2]
    assert told["values"] == [3.0, 1.0, 2.0]
    assert told["times"] == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002]
    assert (told["total"], told["not_finite"]) == (3, 0)


def test_as_many_points_as_fit_are_all_there(run: Run) -> None:
    log_many(run, "sin(step)", MOST_POINTS)
    assert series(run, "loss")["steps"] == list(range(MOST_POINTS))


def test_points_are_told_by_step_however_and_whenever_they_were_logged(run: Run) -> None:
    point = {"run": run, "key": "loss", "is_nan": False}
    for step, timestamp, value in ((5, 10, 50.0), (-1, 30, -10.0), (3, 20, 30.0)):
        Metric.objects.create(**point, step=step, timestamp=timestamp, value=value)
    told = series(run, "loss")
    assert told["steps"] == [-1, 3, 5]
    assert told["values"] == [-10.0, 30.0, 50.0]
    assert told["times"] == [30, 20, 10]


def test_points_of_one_step_are_told_by_time(run: Run) -> None:
    point = {"run": run, "key": "loss", "step": 0, "is_nan": False}
    for timestamp, value in ((30, 1.0), (10, 2.0), (20, 3.0)):
        Metric.objects.create(**point, timestamp=timestamp, value=value)
    assert series(run, "loss")["values"] == [2.0, 3.0, 1.0]


def test_many_points_become_few_and_no_peak_is_lost(run: Run) -> None:
    log_many(run, "CASE step WHEN 31234 THEN 1e6 WHEN 41234 THEN -1e6 ELSE sin(step) END", 50_000)
    told = series(run, "loss")
    assert 500 < len(told["values"]) <= MOST_POINTS
    assert told["total"] == 50_000
    drawn = dict(zip(told["steps"], told["values"], strict=True))
    assert (drawn[31234], drawn[41234]) == (1e6, -1e6)
    assert told["steps"][-1] == 49_999
    assert told["steps"] == sorted(told["steps"])


@pytest.mark.parametrize("value", [math.nan, _INF, -_INF])
def test_what_is_not_finite_becomes_null_and_is_counted(run: Run, value: float) -> None:
    log_metric(run, "loss", [1.0, value, 3.0, value])
    told = series(run, "loss")
    assert told["values"] == [1.0, None, 3.0, None]
    assert told["not_finite"] == 2


@pytest.mark.parametrize("value", [math.nan, _INF, -_INF])
def test_a_peak_beside_what_is_not_finite_is_not_lost(run: Run, value: float) -> None:
    log_many(run, "CASE step WHEN 31234 THEN 1e6 WHEN 31236 THEN -1e6 ELSE 0 END", 50_000)
    Metric.objects.filter(run=run, step__in=(31233, 31235)).update(
        value=0.0 if math.isnan(value) else value, is_nan=math.isnan(value)
    )
    told = series(run, "loss")
    drawn = dict(zip(told["steps"], told["values"], strict=True))
    assert (drawn[31234], drawn[31236]) == (1e6, -1e6)
    assert drawn[31233] is None
    assert told["not_finite"] == 2


def test_a_metric_that_is_never_finite_is_told_too(run: Run) -> None:
    log_many(run, "1.7976931348623157e308", 5_000)
    told = series(run, "loss")
    assert 0 < len(told["values"]) <= MOST_POINTS
    assert set(told["values"]) == {None}
    assert told["not_finite"] == 5_000


def test_an_unknown_metric_is_empty(run: Run) -> None:
    assert series(run, "nope") == {
        "key": "nope", "steps": [], "times": [], "values": [], "total": 0, "not_finite": 0
    }  # fmt: skip


@pytest.mark.parametrize("key", ["a/b c", "größe ✓", 'it\'s "so"', "a&b=c#d?e+f%20", "<i>x</i>"])
def test_the_page_tells_a_metric_of_any_name(as_alice: Client, run: Run, key: str) -> None:
    log_metric(run, key, [1.0, math.nan])
    answer = as_alice.get(f"/runs/{run.pk}/series/", {"key": key})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["key"] == key
    assert answer.json()["values"] == [1.0, None]


def test_the_page_without_a_key_is_empty(as_alice: Client, run: Run) -> None:
    assert as_alice.get(f"/runs/{run.pk}/series/").json()["total"] == 0
