"""Where Studio answers otherwise than MLflow on purpose: each difference, on both lanes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.arena import Arena
from tests.differential.cases import (
    Case,
    alone,
    create_experiment,
    create_run,
    log_batch,
    log_metric,
    set_tag,
    update,
)
from tests.differential.deviations import DEVIATIONS, tells_sql
from tests.differential.pairs import Deviation, Pair
from tests.differential.requests import good
from tracking.lane import LANE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
POINT = {"key": "a", "value": 1, "timestamp": 1}


def played(arena: Arena, case: Case) -> Pair:
    (pair,) = arena.play([alone(case)])
    assert arena.allows(pair), pair
    return pair


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.name)
def test_each_is_told_on_the_page(deviation: Deviation) -> None:
    assert deviation.row in PAGE.read_text()


@pytest.mark.parametrize(
    "case",
    [
        log_batch(params=[{"key": "p", "value": "1"}], metrics=[POINT], tags=[{"key": "t", "value": "\0"}]),
        log_batch(params=[{"key": "p", "value": "1"}], metrics=[POINT], tags=[{"key": "mlflow.runName", "value": "x" * 251}]),
        log_batch(params=[{"key": "p", "value": "1"}], metrics=[POINT | {"model_id": "m-unknown"}]),
    ],
)  # fmt: skip
def test_a_batch_is_stored_whole_or_not_at_all(arena: Arena, case: Case) -> None:
    pair = played(arena, case)
    assert pair.fast.status == pair.reference.status == 400
    assert pair.fast.wrote_nothing
    assert not pair.reference.wrote_nothing


@pytest.mark.parametrize(
    "case",
    [
        log_metric("a", float("nan")),
        log_metric("a", 1, step=2**63),
        log_metric("a", 1, timestamp=1.5),
        log_batch(metrics=[POINT | {"value": "x"}]),
        log_batch(metrics=[POINT, POINT | {"timestamp": "abc"}]),
        log_batch(params=[{"key": "p", "value": 1}]),
        create_run(tags=[{"key": "t", "value": True}]),
        update(status="FINISHED", end_time=True),
    ],
    ids=lambda case: case.name,
)
def test_a_value_that_cannot_be_read_is_refused(arena: Arena, case: Case) -> None:
    pair = played(arena, case)
    assert pair.reference.status == 200
    assert not pair.reference.wrote_nothing
    assert (pair.fast.status, pair.fast.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert pair.fast.wrote_nothing


@pytest.mark.parametrize(
    "case",
    [
        create_experiment(name="@mark@ own"),
        create_experiment(artifact_location="s3://b/\0"),
        create_run(user_id="x" * 257),
        create_run(tags=[{"key": "x" * 251, "value": "1"}]),
        set_tag("a", "\0"),
        set_tag("mlflow.runName", "x" * 251),
        log_metric("a", 1, model_id="m-unknown"),
    ],
    ids=lambda case: case.name[:60],
)
def test_errors_tell_nothing_of_the_database(arena: Arena, case: Case) -> None:
    pair = played(arena, case)
    assert tells_sql(pair.reference.message)
    assert not tells_sql(pair.fast.message)
    assert (pair.fast.status, pair.fast.error_code) == (400, pair.reference.error_code)


@pytest.mark.parametrize(
    "case",
    [
        *(Case("a list", route, b"[1]") for route in LANE.writing if route != "mlflow/runs/create"),
        Case("no JSON", "mlflow/runs/log-batch", b"{"),
        good("mlflow/runs/log-metric", value=[]),
        good("mlflow/runs/log-batch", tags=[None]),
        good("mlflow/runs/update", end_time={}),
    ],
    ids=lambda case: f"{case.route} {case.name}",
)
def test_what_crashes_mlflow_is_refused(arena: Arena, case: Case) -> None:
    pair = played(arena, case)
    assert pair.reference.status == 500
    assert (pair.fast.status, pair.fast.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert pair.fast.wrote_nothing
