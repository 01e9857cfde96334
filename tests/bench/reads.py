"""The read rows: what is asked on each connection, and what must be in every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.comparing import Mark
from tests.bench.seeding import PARAMS, TAGS, VALUES, Seeded
from tests.bench.sides import FASTTRACKML, MLFLOW, Side

PAGE = 50  # runs
BY_METRIC = ["metrics.metric_0 DESC"]
_TEN_TIMES = {MLFLOW: Mark("at least", 10), FASTTRACKML: Mark("more than", 1)}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    connections: int
    unit: str
    each: int  # units that one answer is
    values: int  # metrics, params and tags in one answer
    ask: Callable[[Seeded], bytes]  # makes the request, and puts there what it asks for
    marks: Mapping[str, Mark] = field(default_factory=dict)
    alone: bool = False  # Studio alone is asked, and what its workers hold is told


def page(seeded: Seeded, runs: int, **more: object) -> bytes:
    """Asks for a page of the experiment with so many runs."""
    wanted = {"experiment_ids": [seeded.experiment(runs)], "max_results": PAGE, **more}
    return seeded.side.request("runs/search", json.dumps(wanted))


def _filtered(seeded: Seeded) -> bytes:
    found = "metrics.metric_1 > 0.3 and params.param_0 = '3'"  # a seventh of the runs
    return page(seeded, 1000, filter=found, order_by=BY_METRIC)


def _get(run: Callable[[Seeded], str]) -> Callable[[Seeded], bytes]:
    return lambda seeded: seeded.side.question("runs/get", run_id=run(seeded))


def _history(points: int) -> Callable[[Seeded], bytes]:
    """Asks for all points of a key at once."""
    return lambda seeded: seeded.side.question(
        "metrics/get-history", run_id=seeded.with_points(points), metric_key="loss"
    )


ROWS = [
    Row(
        "search-1000",
        f"runs/search, 1,000 runs × {VALUES} values, ordered by a metric, 1 connection",
        1,
        "runs/s",
        1000,
        1000 * VALUES,
        lambda seeded: page(seeded, 1000, max_results=1000, order_by=BY_METRIC),
        _TEN_TIMES,
    ),
    Row(
        "filtered-page",
        f"runs/search, page of {PAGE} of these with a metric and a param as asked, ordered by a metric, 4 connections",
        4,
        "calls/s",
        1,
        PAGE * VALUES,
        _filtered,
        _TEN_TIMES,
    ),
    Row(
        "history-100000",
        "metrics/get-history, 100,000 points of a key, 1 connection",
        1,
        "points/s",
        100_000,
        100_000,
        _history(100_000),
        _TEN_TIMES,
    ),
    Row(
        "get-run",
        f"runs/get, {VALUES} values, 4 connections",
        4,
        "calls/s",
        1,
        VALUES,
        _get(lambda seeded: seeded.one_of(1000)),
        {MLFLOW: Mark("at least", 10), FASTTRACKML: Mark("at least", 0.45)},  # the aim: 0.65
    ),
    Row(
        "keys-5000",
        "runs/get, 5,000 keys of metrics, 1 connection",
        1,
        "calls/s",
        1,
        5000 + PARAMS + TAGS,
        _get(lambda seeded: seeded.with_keys(5000)),
    ),
    Row(
        "page-100000",
        f"runs/search, page of {PAGE} of 100,000 runs × {VALUES} values, ordered by a metric, 1 connection",
        1,
        "calls/s",
        1,
        PAGE * VALUES,
        lambda seeded: page(seeded, 100_000, order_by=BY_METRIC),
        {MLFLOW: Mark("at least", 20), FASTTRACKML: Mark("more than", 1)},
    ),
    Row(
        "history-1000000",
        "metrics/get-history, 1,000,000 points of a key, 1 connection",
        1,
        "points/s",
        1_000_000,
        1_000_000,
        _history(1_000_000),
        alone=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Content:
    """What all sides must answer alike: runs and points in their order, each with all that was put there."""

    values: int
    items: list[object]


def looked_into(side: Side, what: str, values: int, answer: bytes) -> Content:
    """Raises RuntimeError where it has not so many values."""
    found = content(answer)
    if found.values != values:
        raise RuntimeError(f"{side.name}, {what}: {found.values} values of {values}")
    return found


def content(answer: bytes) -> Content:
    told = json.loads(answer)
    if "metrics" in told:
        points = [_point(metric) for metric in told["metrics"]]
        return Content(len(points), list(points))
    runs = [_run(run) for run in ([told["run"]] if "run" in told else told.get("runs", []))]
    return Content(sum(len(values) for *_, values in runs), list(runs))


def _run(run: Mapping[str, Any]) -> tuple[str, str, int, list[tuple[object, ...]]]:
    info, data = run["info"], run["data"]
    values = sorted(
        [
            *(("metric", *_point(metric)) for metric in data["metrics"]),
            *(("param", param["key"], param["value"]) for param in data["params"]),
            *(("tag", tag["key"], tag["value"]) for tag in data["tags"]),
        ]
    )
    return info["run_id"], info["run_name"], int(info["start_time"]), values


def _point(metric: Mapping[str, Any]) -> tuple[str, float, int, int]:
    return metric["key"], metric["value"], int(metric["timestamp"]), int(metric["step"])
