"""The read rows: what is asked on each connection, and what must be in every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.comparing import Mark
from tests.bench.seeded_models import (
    ALIAS,
    MODEL_VALUES,
    MODELS,
    VERSION_VALUES,
    VERSIONS,
    champion,
    model_name,
)
from tests.bench.seeded_runs import PARAMS, TAGS, VALUES
from tests.bench.seeding import Seeded
from tests.bench.sides import FASTTRACKML, MLFLOW

PAGE = 50  # runs
MODEL_PAGE = 100  # models, or versions
BY_METRIC = ["metrics.metric_0 DESC"]
_TEN_TIMES = {MLFLOW: Mark("at least", 10), FASTTRACKML: Mark("more than", 1)}
_TEN_TIMES_MLFLOW = {MLFLOW: Mark("at least", 10)}
_NUMBER = 1234  # of one of MODELS
_MODEL = model_name(_NUMBER)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    connections: int
    unit: str
    each: int  # units that one answer is
    values: int  # metrics, params, tags and aliases in one answer
    ask: Callable[[Seeded], bytes]  # makes the request, and puts there what it asks for
    marks: Mapping[str, Mark] = field(default_factory=dict)
    # Who is asked the same. Without any, what Studio's workers hold is told.
    peers: Sequence[str] = (MLFLOW, FASTTRACKML)


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


def _of_models(
    name: str,
    route: str,
    what: str,
    values: int,
    asked: Mapping[str, str],
    marks: Mapping[str, Mark],
) -> Row:
    """A row that asks the registry: FastTrackML has none."""

    def ask(seeded: Seeded) -> bytes:
        seeded.models()
        return seeded.side.question(route, **asked)

    title = f"{route}, {what}, 4 connections"
    return Row(name, title, 4, "calls/s", 1, values, ask, marks, (MLFLOW,))


_RUN_ROWS = [
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
        peers=(),
    ),
]
_MODEL_ROWS = [
    _of_models(
        "models-page",
        "registered-models/search",
        f"page of {MODEL_PAGE} of {MODELS:,} models, ordered by name",
        MODEL_PAGE * MODEL_VALUES,
        {"max_results": str(MODEL_PAGE), "order_by": "name ASC"},
        _TEN_TIMES_MLFLOW,
    ),
    _of_models(
        "models-named",
        "registered-models/search",
        f"page of {MODEL_PAGE} of those whose names begin as asked",
        MODEL_PAGE * MODEL_VALUES,
        {"max_results": str(MODEL_PAGE), "filter": "name LIKE 'model-12%'"},  # 111 models
        _TEN_TIMES_MLFLOW,
    ),
    _of_models(
        "versions-of-model",
        "model-versions/search",
        f"the {VERSIONS} versions of a model",
        VERSIONS * VERSION_VALUES,
        {"filter": f"name = '{_MODEL}'"},
        _TEN_TIMES_MLFLOW,
    ),
    _of_models(
        "versions-newest",
        "model-versions/search",
        f"page of {MODEL_PAGE} of {MODELS * VERSIONS:,} versions, newest first",
        MODEL_PAGE * VERSION_VALUES,
        {"max_results": str(MODEL_PAGE)},
        _TEN_TIMES_MLFLOW,
    ),
    _of_models(
        "get-model",
        "registered-models/get",
        f"{MODEL_VALUES} values",
        MODEL_VALUES,
        {"name": _MODEL},
        {},
    ),
    _of_models(
        "get-by-alias",
        "registered-models/alias",
        f"{VERSION_VALUES + 1} values",
        VERSION_VALUES + 1,
        {"name": _MODEL, "alias": ALIAS},
        {},
    ),
    _of_models(
        "get-version",
        "model-versions/get",
        f"{VERSION_VALUES + 1} values",
        VERSION_VALUES + 1,
        {"name": _MODEL, "version": str(champion(_NUMBER))},
        {},
    ),
]
ROWS = [*_RUN_ROWS, *_MODEL_ROWS]
