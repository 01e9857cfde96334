"""What a page asks of the series that it draws."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

import orjson

from studio.lib.errors import Invalid
from tracking.charts import axes
from tracking.charts.axes import Axis

MOST_RUNS, MOST_SERIES = 1_000, 5_000  # of one request
_FEWEST, _MOST = 50, 2_000  # buckets: no chart is drawn on fewer pixels, nor on more


class Asked(NamedTuple):
    runs: list[str]
    keys: list[str]
    axis: Axis
    buckets: int


def read(body: bytes) -> Asked:
    """Of JSON: `runs` (ids), `keys`, `buckets`, `axis` ("step", "time", "relative", or "metric" with its key in `by`), and
    the range of x, `from` and `to`, both included. Raises Invalid.
    """
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Invalid("The request's body is no JSON.") from None
    if not isinstance(given, dict):
        raise Invalid("The request's body must be a JSON object.")
    runs, keys = _texts(given, "runs"), _texts(given, "keys")
    if len(runs) > MOST_RUNS or len(runs) * len(keys) > MOST_SERIES:
        raise Invalid(
            f"At most {MOST_RUNS:,} runs and {MOST_SERIES:,} series come at once: ask for fewer."
        )
    buckets = given.get("buckets")
    if not isinstance(buckets, int) or not _FEWEST <= buckets <= _MOST:
        raise Invalid(f"buckets must be a whole number from {_FEWEST} to {_MOST:,}.")
    return Asked(runs, keys, _axis(given), buckets)


def _texts(given: Mapping[str, Any], name: str) -> list[str]:
    found = given.get(name)
    if not isinstance(found, list) or not all(
        type(each) is str and "\0" not in each for each in found
    ):
        raise Invalid(f"{name} must be a list of texts.")
    return list(dict.fromkeys(found))


def _axis(given: Mapping[str, Any]) -> Axis:
    start, stop = _end(given, "from"), _end(given, "to")
    match given.get("axis"):
        case "step":
            return axes.by_step(start, stop)
        case "time":
            return axes.by_time(start, stop)
        case "relative":
            return axes.by_relative_time(start, stop)
        case "metric":
            (key,) = _texts({"by": [given.get("by")]}, "by")
            return axes.by_metric(key, start, stop)
    raise Invalid("axis must be step, time, relative or metric.")


def _end(given: Mapping[str, Any], name: str) -> float | None:
    """Beyond 64 bits there is nothing that an end could leave out."""
    found = given.get(name)
    if found is None:
        return None
    if type(found) not in (int, float) or not isfinite(found):
        raise Invalid(f"{name} must be a number.")
    return float(min(max(found, -(2.0**62)), 2.0**62))
