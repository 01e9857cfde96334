"""What charts are drawn from: whole series, and what the buckets of long ones keep."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from studio.accounts.models import User
from tests.support.grants import grant_mlflow
from tests.support.rows import log_metric, make_experiment, make_run
from tests.tracking.charts.reading import ask, log_many
from tracking.models import Metric, Run

_INF = 1.7976931348623157e308  # MLflow's infinity
START = 1_700_000_000_000


def test_a_short_series_is_whole(as_alice: Client, run: Run) -> None:
    log_metric(run, "loss", [3.0, 1.0, 2.0])
    (line,) = ask(as_alice, [run], ["loss"])
    assert line.points == [(0.0, 3.0), (1.0, 1.0), (2.0, 2.0)]
    assert line.told == {
        "run": run.pk, "key": "loss", "whole": True, "points": 3, "total": 3, "not_finite": 0,
    }  # fmt: skip


def test_points_come_by_step_and_those_of_one_step_by_time(as_alice: Client, run: Run) -> None:
    for step, timestamp, value in ((5, 30, 1.0), (-1, 40, 2.0), (5, 10, 3.0), (5, 20, 4.0)):
        Metric.objects.create(run=run, key="loss", step=step, timestamp=timestamp, value=value, is_nan=False)  # fmt: skip
    (line,) = ask(as_alice, [run], ["loss"])
    assert line.points == [(-1.0, 2.0), (5.0, 3.0), (5.0, 4.0), (5.0, 1.0)]


def test_as_many_points_as_twice_the_buckets_are_whole_and_one_more_is_not(
    as_alice: Client, run: Run
) -> None:
    log_many(run, "sin(step)", 200)
    (line,) = ask(as_alice, [run], ["loss"])
    assert (line.told["whole"], line.steps) == (True, [float(step) for step in range(200)])
    log_metric(run, "loss", [7.0], first_step=200)
    (line,) = ask(as_alice, [run], ["loss"])
    assert (line.told["whole"], line.told["points"], line.told["total"]) == (False, 100, 201)


def test_of_a_million_points_no_peak_is_lost(as_alice: Client, run: Run) -> None:
    log_many(
        run, "CASE step WHEN 312345 THEN 1e6 WHEN 712345 THEN -1e6 ELSE sin(step) END", 1_000_000
    )
    (line,) = ask(as_alice, [run], ["loss"], buckets=500)
    assert line.told["total"] == 1_000_000
    assert len(line.points) == 500
    assert line.steps == sorted(line.steps)
    assert line.steps[-1] == 999_999
    (high,) = [point for point in line.points if point[2] == 1e6]
    (low,) = [point for point in line.points if point[1] == -1e6]
    assert 312_345 <= high[0] < 312_345 + 2000
    assert 712_345 <= low[0] < 712_345 + 2000


def test_each_bucket_tells_its_smallest_its_largest_and_its_last(
    as_alice: Client, run: Run
) -> None:
    log_many(run, "mod(step * 7919, 1000)", 10_000)
    values = [float(step * 7919 % 1000) for step in range(10_000)]
    (line,) = ask(as_alice, [run], ["loss"])
    first = 0
    for x, low, high, last in line.points:
        held = values[first : int(x) + 1]
        assert (low, high, last) == (min(held), max(held), held[-1])
        first = int(x) + 1
    assert first == 10_000


def test_a_zoom_to_a_hundred_steps_equals_the_rows(as_alice: Client, run: Run) -> None:
    log_many(run, "random()", 50_000)
    (line,) = ask(as_alice, [run], ["loss"], **{"from": 31_000, "to": 31_099})
    rows = Metric.objects.filter(run=run, step__range=(31_000, 31_099)).order_by("step")
    assert line.points == [(float(row.step), row.value) for row in rows]
    assert len(line.points) == 100
    (line,) = ask(as_alice, [run], ["loss"], **{"from": 10.5, "to": 12.5})
    assert line.steps == [11.0, 12.0]
    assert ask(as_alice, [run], ["loss"], **{"from": 60_000, "to": 1e300}) == []


@pytest.mark.parametrize(("value", "told"), [(math.nan, "nan"), (_INF, "inf"), (-_INF, "-inf")])
def test_what_is_not_finite_is_told_and_hides_no_peak(
    as_alice: Client, run: Run, value: float, told: str
) -> None:
    log_metric(run, "short", [1.0, value, 3.0])
    (line,) = ask(as_alice, [run], ["short"])
    assert line.values == [1.0, told, 3.0]
    assert line.told["not_finite"] == 1
    log_many(run, "CASE step WHEN 31234 THEN 1e6 ELSE 0 END", 50_000)
    Metric.objects.filter(run=run, key="loss", step__in=(31233, 31235, 49_999)).update(
        value=0.0 if math.isnan(value) else value, is_nan=math.isnan(value)
    )
    (line,) = ask(as_alice, [run], ["loss"])
    assert max(point[2] for point in line.points) == 1e6
    assert line.values[-1] == told
    assert line.told["not_finite"] == 3


def test_a_series_that_is_never_finite_is_told_too(as_alice: Client, run: Run) -> None:
    log_many(run, "1.7976931348623157e308", 5_000)
    (line,) = ask(as_alice, [run], ["loss"])
    assert {str(number) for point in line.points for number in point[1:3]} == {"nan"}
    assert set(line.values) == {"inf"}
    assert (line.told["total"], line.told["not_finite"]) == (5_000, 5_000)


def test_many_points_at_one_step_are_one_bucket(as_alice: Client, run: Run) -> None:
    Metric.objects.bulk_create(
        Metric(run=run, key="loss", step=7, timestamp=at, value=float(-at), is_nan=False) for at in range(300)
    )  # fmt: skip
    (line,) = ask(as_alice, [run], ["loss"])
    assert line.points == [(7.0, -299.0, 0.0, -299.0)]


@pytest.mark.parametrize("points", [50, 5_000])
def test_every_axis_tells_the_same_points_in_its_own_place(
    as_alice: Client, run: Run, points: int
) -> None:
    Run.objects.filter(pk=run.pk).update(start_time=START - 500)
    log_many(run, "sin(step)", points)
    log_many(run, "step * 2.5", points, key="epoch")
    by_step, by_time, by_relative, by_metric = (
        ask(as_alice, [run], ["loss"], axis=axis, by="epoch")[0]
        for axis in ("step", "time", "relative", "metric")
    )
    steps = by_step.steps
    assert by_time.steps == [START + step * 10 for step in steps]
    assert by_relative.steps == [500 + step * 10 for step in steps]
    assert by_metric.steps == [step * 2.5 for step in steps]
    assert by_step.values == by_time.values == by_relative.values == by_metric.values


def test_a_range_is_one_of_the_axis(as_alice: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(start_time=START)
    log_many(run, "step", 1_000)
    log_many(run, "step * 2.5", 1_000, key="epoch")
    for axis, first, last in (
        ("time", START + 100, START + 200),
        ("relative", 100, 200),
        ("metric", 25, 50),
    ):
        (line,) = ask(
            as_alice, [run], ["loss"], axis=axis, by="epoch", **{"from": first, "to": last}
        )
        assert line.values == [float(step) for step in range(10, 21)], axis


def test_by_a_metric_a_point_stands_at_the_latest_value_of_its_step_or_nowhere(
    as_alice: Client, run: Run
) -> None:
    log_metric(run, "loss", [1.0, 2.0, 3.0])
    log_metric(run, "epoch", [10.0, math.nan])
    Metric.objects.create(
        run=run, key="epoch", step=0, timestamp=START + 9, value=20.0, is_nan=False
    )
    (line,) = ask(as_alice, [run], ["loss"], axis="metric", by="epoch")
    assert line.points == [(20.0, 1.0)]
    assert ask(as_alice, [run], ["loss"], axis="metric", by="absent") == []


def test_a_run_without_a_start_begins_with_its_first_point(as_alice: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(start_time=None)
    log_many(run, "step", 3, key="other")
    log_many(run, "step", 3)
    (line,) = ask(as_alice, [run], ["loss"], axis="relative")
    assert line.steps == [0.0, 10.0, 20.0]


def test_series_come_in_the_order_in_which_they_are_asked_for(as_alice: Client, run: Run) -> None:
    other = make_run(make_experiment(), metrics={"loss": 1.0, "acc": 2.0})
    log_metric(run, "loss", [3.0])
    found = ask(as_alice, [other, run, other], ["loss", "absent", "acc", "loss"])
    assert [(line.told["run"], line.told["key"]) for line in found] == [
        (other.pk, "loss"), (other.pk, "acc"), (run.pk, "loss"),
    ]  # fmt: skip


def test_runs_that_may_not_be_seen_are_left_out_like_those_that_are_not_there(
    as_bob: Client, bob: User, run: Run
) -> None:
    hidden = make_run(make_experiment(), metrics={"loss": 1.0})
    log_metric(run, "loss", [3.0])
    absent = Run(run_uuid="f" * 32)
    assert ask(as_bob, [hidden, run, absent], ["loss"]) == []
    grant_mlflow(bob, "experiment", run.experiment_id, "READ")
    (line,) = ask(as_bob, [hidden, run, absent], ["loss"])
    assert line.told["run"] == run.pk
    grant_mlflow(bob, "run", "*", "DENY")
    assert ask(as_bob, [hidden, run, absent], ["loss"]) == []


@pytest.mark.parametrize(
    "key", ["a/b c", "größe ✓ 🎉", 'it\'s "so"', "50%s %(x)s {points}", "\\", "<i>x</i>"]
)
def test_a_metric_may_have_any_name(as_alice: Client, run: Run, key: str) -> None:
    log_metric(run, key, [1.0])
    for axis in ("step", "metric"):
        (line,) = ask(as_alice, [run], [key], axis=axis, by=key)
        assert line.told["key"] == key


def test_nothing_asked_for_is_nothing(as_alice: Client, run: Run) -> None:
    assert ask(as_alice, [], ["loss"]) == ask(as_alice, [run], []) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"runs": "x"}, "runs must be"), ({"runs": [1]}, "runs must be"), ({"keys": ["a\0"]}, "keys must be"),
        ({"keys": None}, "keys must be"), ({"buckets": 49}, "buckets"), ({"buckets": 2001}, "buckets"),
        ({"buckets": "100"}, "buckets"), ({"buckets": None}, "buckets"), ({"axis": "x"}, "axis"), ({"axis": None}, "axis"),
        ({"axis": "metric"}, "by must be"), ({"from": "1"}, "from must be"), ({"to": True}, "to must be"),
        ({"runs": [f"{n:032x}" for n in range(1001)]}, "At most"),
        ({"runs": [f"{n:032x}" for n in range(500)], "keys": [str(n) for n in range(11)]}, "At most"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(
    as_alice: Client, run: Run, wrong: dict[str, Any], told: str
) -> None:
    given = {"runs": [run.pk], "keys": ["loss"], "axis": "step", "buckets": 100} | wrong
    answer = as_alice.post("/series/", json.dumps(given), content_type="application/json")
    assert answer.status_code == 400
    assert told in answer.content.decode()


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff"])
def test_what_is_no_question_is_refused(as_alice: Client, body: bytes) -> None:
    assert as_alice.post("/series/", body, content_type="application/json").status_code == 400


def test_what_takes_too_long_is_given_up_in_words(
    as_alice: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracking.charts import series

    log_many(run, "step", 10_000)
    monkeypatch.setattr(series, "CALM", "SELECT set_config('statement_timeout', '1ms', true)")
    answer = as_alice.post(
        "/series/", json.dumps({"runs": [run.pk], "keys": ["loss"], "axis": "time", "buckets": 100}),
        content_type="application/json",
    )  # fmt: skip
    assert answer.status_code == 400
    assert "given up" in answer.content.decode()


def test_a_zoom_reads_no_more_than_its_range(as_alice: Client, run: Run) -> None:
    """An index gives the steps of the range; a whole metric would be thousands of pages."""
    from tracking.charts import axes, series

    log_many(run, "step", 100_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metrics")
        statement = series.statement([(run.pk, 0)], ["loss"], axes.by_step(50_000, 50_099), 100)
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", statement.given)
        (plan,) = cursor.fetchone()[0]
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 200
