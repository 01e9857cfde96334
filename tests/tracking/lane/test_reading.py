"""What the lane reads quickly is exactly what it would read by MLflow's own protos and validators."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as some
from mlflow.exceptions import MlflowException

from studio.lane.messages import Body
from tracking.lane import points, runs
from tracking.lane.writing import Written

RUN = "0" * 32
WHOLE = some.integers(-(2**63), 2**63 - 1)
NAMES = some.one_of(
    some.sampled_from(
        ["loss", "val/loss", "a b", "é", "a:b", "a//b", "..", "", "x" * 250, "x" * 251, "a\n", "!"]
    ),
    some.text(max_size=12),
)
NUMBERS = some.one_of(
    some.floats(allow_nan=False, allow_infinity=False),
    some.integers(),
    some.sampled_from(["NaN", "Infinity", "-Infinity", "1.5", "x", True, None, "1e400"]),
)
METRICS = some.fixed_dictionaries(
    {
        "key": NAMES,
        "value": NUMBERS,
        "timestamp": some.one_of(WHOLE, some.just("7"), some.floats()),
    },
    optional={"step": some.one_of(WHOLE, some.booleans()), "model_id": some.just("m-1")},
)
PAIRS = some.fixed_dictionaries(
    {"key": NAMES, "value": some.one_of(some.text(max_size=20), some.integers())}
)


def body_of(content: dict[str, Any]) -> Body:
    return Body(json.dumps(content).encode(), "application/json")


def read(reader: Any, body: Body) -> tuple[Any, ...]:
    """What was read, or how it was refused. Numbers as text: NaN is not equal to itself."""
    try:
        written: Written = reader(body)
    except MlflowException as refused:
        return refused.error_code, refused.message
    keys, values, *whole = written.points or points.NONE
    numbers = [repr(float(value)) for value in values]
    return written.run_id, keys, numbers, whole, written.params, written.tags, written.model_points


def slowly(monkeypatch: pytest.MonkeyPatch, reader: Any, body: Body) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(points, "quick", lambda metrics: None)
        patch.setattr(runs, "_quick_batch", lambda given: None)
        return read(reader, body)


@seed(6)
@settings(max_examples=400, deadline=None)
@given(
    metrics=some.lists(METRICS, max_size=4),
    params=some.lists(PAIRS, max_size=3),
    tags=some.lists(PAIRS | some.just({"key": "mlflow.runName", "value": ""}), max_size=3),
)
def test_a_batch_is_read_the_same_quickly_and_slowly(
    metrics: list[Any], params: list[Any], tags: list[Any]
) -> None:
    body = body_of({"run_id": RUN, "metrics": metrics, "params": params, "tags": tags})
    told = read(runs.log_batch, body)
    assert told == slowly(pytest.MonkeyPatch(), runs.log_batch, body)


@seed(6)
@settings(max_examples=300, deadline=None)
@given(metric=METRICS, twice=some.booleans())
def test_a_metric_is_read_the_same_quickly_and_slowly(metric: dict[str, Any], twice: bool) -> None:
    body = body_of({"run_id": RUN, **metric} | ({"run_uuid": RUN} if twice else {}))
    told = read(runs.log_metric, body)
    assert told == slowly(pytest.MonkeyPatch(), runs.log_metric, body)


def test_what_clients_send_is_read_quickly() -> None:
    """Else the tests above would compare the slow way with itself."""
    metric = {"key": "loss", "value": 0.5, "timestamp": 1, "step": 2}
    assert points.quick([metric]) == points.Points(["loss"], [0.5], [1], [2])
    batch = {"run_id": RUN, "metrics": [metric], "params": [{"key": "a", "value": "b"}], "tags": []}
    assert runs._quick_batch(batch) == Written(
        RUN, points.Points(["loss"], [0.5], [1], [2]), {"a": "b"}
    )


def test_numbers_that_are_none_are_stored_as_mlflow_stores_them() -> None:
    largest = 1.7976931348623157e308
    given = points.Points(
        list("abcd"), [math.nan, math.inf, -math.inf, 1.0], [0] * 4, [0] * 4
    ).given
    assert json.loads(given["values"].translate({123: "[", 125: "]"})) == [
        0.0,
        largest,
        -largest,
        1.0,
    ]
    assert given["nans"] == "{true,false,false,false}"


def test_of_each_key_the_latest_value_is_by_step_then_time_then_value_and_the_first_that_came() -> (
    None
):
    rows = [
        ("a", 9.0, 9, 1), ("b", 1.0, 1, 1), ("a", 1.0, 2, 2), ("a", 2.0, 2, 2), ("a", 8.0, 1, 2),
        ("b", math.nan, 1, 2), ("b", 0.0, 1, 2), ("c", 0.0, 1, 2), ("c", math.nan, 1, 2),
    ]  # fmt: skip
    given = points.Points(*map(list, zip(*rows, strict=True))).given
    names = ("latest_keys", "latest_values", "latest_times", "latest_steps", "latest_nans")
    columns = [given[name].strip("{}").split(",") for name in names]
    assert set(zip(*columns, strict=True)) == {
        ('"a"', "2.0", "2", "2", "false"),
        ('"b"', "0.0", "1", "2", "true"),
        ('"c"', "0.0", "1", "2", "false"),
    }


def test_all_points_are_their_keys_latest_where_each_key_has_one() -> None:
    given = points.Points(["a", "b"], [1.0, 2.0], [1, 1], [2, 2]).given
    every = ("keys", "values", "times", "steps", "nans")
    assert all(given[name] == given[f"latest_{name}"] for name in every)


@pytest.mark.parametrize("value", ["1e400", "-1e400"])
def test_a_number_that_no_double_holds_is_refused(value: str) -> None:
    text = f'{{"run_id": "{RUN}", "key": "a", "value": {value}, "timestamp": 1, "step": 1}}'
    told = read(runs.log_metric, Body(text.encode(), "application/json"))
    assert told[0] == "INVALID_PARAMETER_VALUE"
