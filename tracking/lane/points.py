"""Metrics as the statements take them: five arrays, NaN and infinities as MLflow stores them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from math import isfinite, isinf, isnan
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric

from tracking.lane.arrays import literal

_SPELT = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_FIELDS = {"key", "value", "timestamp", "step"}
_LONGEST = 2**63
# The statement's parameters.
_COLUMNS = ("keys", "values", "times", "steps", "nans")
_LATEST = tuple(f"latest_{name}" for name in _COLUMNS)


class Points(NamedTuple):
    """Columns of equal length: names, numbers, milliseconds, steps."""

    keys: list[str]
    values: list[float]
    times: list[int]
    steps: list[int]

    @property
    def given(self) -> dict[str, Any]:
        """All points, and again the one of each key that is its latest value, unless a later one is stored."""
        values, nans = _stored(self.values)
        every = (self.keys, values, self.times, self.steps, nans)
        newest = _newest(self.keys, values, self.times, self.steps)
        latest = every if len(newest) == len(nans) else _rows(every, newest)
        told = [literal(column) for column in every]
        again = told if latest is every else [literal(column) for column in latest]
        return dict(zip(_COLUMNS, told, strict=True)) | dict(zip(_LATEST, again, strict=True))


NONE = Points([], [], [], [])


def quick(metrics: Any) -> Points | None:
    """The metrics of a body, where each is as clients send it and MLflow would take it. None: look closer."""
    if type(metrics) is not list:
        return None
    try:
        if any(metric.keys() != _FIELDS for metric in metrics):
            return None
        keys = [metric["key"] for metric in metrics]
        values = [metric["value"] for metric in metrics]
        times = [metric["timestamp"] for metric in metrics]
        steps = [metric["step"] for metric in metrics]
    except (AttributeError, KeyError, TypeError):
        return None
    numbers = [value for value in values if type(value) is not str]
    if len(numbers) < len(values):
        values = [_SPELT.get(value) if type(value) is str else value for value in values]
    fit = set(map(type, values)) <= {float, int} and set(map(type, keys)) == {str}
    if not (fit and isfinite(sum(numbers))):  # written as numbers, NaN and infinities are no JSON
        return None
    if _are_long(times) and min(times) >= 0 and _are_long(steps) and all(map(is_name, set(keys))):
        return Points(keys, values, times, steps)
    return None


def _are_long(numbers: list[Any]) -> bool:
    return (
        set(map(type, numbers)) == {int} and min(numbers) >= -_LONGEST and max(numbers) < _LONGEST
    )


@lru_cache(maxsize=16384)
def is_name(key: str) -> bool:
    """Whether MLflow takes it, for a metric, a param or a tag. The next thousand points have the same few."""
    try:
        _validate_metric(key, 0.0, 0, 0)
    except MlflowException:
        return False
    return True


def _newest(keys: list[str], values: list[float], times: list[int], steps: list[int]) -> list[int]:
    """Of each key the place of its point with the greatest step, time and value; of equal ones that of the first."""
    if len(keys) == 1:
        return [0]
    backwards = range(0, -len(keys), -1)
    told = {
        row[-1]: row[-2] for row in sorted(zip(steps, times, values, backwards, keys, strict=True))
    }
    return [-place for place in told.values()]


def _rows(columns: tuple[list[Any], ...], places: list[int]) -> list[list[Any]]:
    return [[column[place] for place in places] for column in columns]


def _stored(values: list[float]) -> tuple[list[float], list[bool]]:
    """The numbers as MLflow keeps them, and which were none: SQL has no word for NaN or an infinity in JSON's."""
    if isfinite(sum(values)):
        return values, [False] * len(values)
    return [kept(value) for value in values], [isnan(value) for value in values]


def kept(value: float) -> float:
    if isnan(value):
        return 0.0
    if isinf(value):
        return sys.float_info.max if value > 0 else -sys.float_info.max
    return value


def of_metrics(metrics: Iterable[Any]) -> Points:
    """Of MLflow's own entities or messages, which have been validated."""
    rows = [(metric.key, metric.value, metric.timestamp, metric.step) for metric in metrics]
    return Points(*map(list, zip(*rows, strict=True))) if rows else NONE
