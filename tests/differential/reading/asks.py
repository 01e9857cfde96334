"""Questions to each route that reads: the good ones, and how each is asked otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from tests.differential.cases import TWINS, Case, call
from tests.differential.reading.ids import NAMES, OWN, RUN, SECOND
from tests.differential.reading.registry_rows import STAGED

AJAX = TWINS[0]  # the only address of get-history-bulk
GET_RUN, SEARCH_RUNS = "mlflow/runs/get", "mlflow/runs/search"
HISTORY, BULK, INTERVAL = (f"mlflow/metrics/get-history{end}" for end in ("", "-bulk", "-bulk-interval"))  # fmt: skip
GET_EXPERIMENT, BY_NAME = "mlflow/experiments/get", "mlflow/experiments/get-by-name"
SEARCH_EXPERIMENTS = "mlflow/experiments/search"
GET_MODEL, SEARCH_MODELS = "mlflow/registered-models/get", "mlflow/registered-models/search"
GET_VERSION, SEARCH_VERSIONS = "mlflow/model-versions/get", "mlflow/model-versions/search"
BY_ALIAS = "mlflow/registered-models/alias"


def asked(route: str, pairs: Iterable[tuple[str, Any]]) -> Case:
    """A GET with these pairs in its query. Its name is its query."""
    query = urlencode(list(pairs), errors="surrogatepass")
    target = f"{route}?{query}" if query else route
    prefix = AJAX if route == BULK else "/api/2.0"
    return Case(query[:100], target, b"", method="GET", content_type=None, prefix=prefix)


def get(route: str, /, **fields: Any) -> Case:
    """A GET with these fields, a list as the field again and again."""
    return asked(
        route,
        (
            (name, each)
            for name, value in fields.items()
            for each in (value if isinstance(value, list) else [value])
        ),
    )


def post(route: str, /, **fields: Any) -> Case:
    return call(route.removeprefix("mlflow/"), **fields)


def search(**fields: Any) -> Case:
    """A search of the runs of OWN."""
    return post(SEARCH_RUNS, **{"experiment_ids": [str(OWN)]} | fields)


def found(condition: str, **fields: Any) -> Case:
    """A search of all runs, of OWN and SECOND, of which this holds. Its name is the filter."""
    given = {"experiment_ids": [str(OWN), str(SECOND)], "run_view_type": "ALL", "filter": condition}
    return replace(search(**given | fields), name=condition[:200])


# A field's value is a list where it may come again.
GOOD_GET: dict[str, dict[str, Any]] = {
    GET_RUN: {"run_id": RUN},
    HISTORY: {"run_id": RUN, "metric_key": "loss"},
    BULK: {"run_id": [RUN], "metric_key": "loss"},
    INTERVAL: {
        "run_ids": [RUN],
        "metric_key": "many",
        "start_step": "0",
        "end_step": "50",
        "max_results": "10",
    },
    GET_EXPERIMENT: {"experiment_id": str(OWN)},
    BY_NAME: {"experiment_name": NAMES[OWN]},
    SEARCH_EXPERIMENTS: {
        "max_results": "3",
        "filter": "name LIKE 'reading%'",
        "order_by": ["name DESC"],
        "view_type": "ACTIVE_ONLY",
    },
    GET_MODEL: {"name": STAGED},
    SEARCH_MODELS: {
        "max_results": "3",
        "filter": "name ILIKE 'reading%'",
        "order_by": ["last_updated_timestamp DESC"],
    },
    GET_VERSION: {"name": STAGED, "version": "1"},
    SEARCH_VERSIONS: {
        "max_results": "3",
        "filter": f"name = '{STAGED}'",
        "order_by": ["version_number ASC"],
    },
    BY_ALIAS: {"name": STAGED, "alias": "champion"},
}
GOOD_POST: dict[str, dict[str, Any]] = {
    SEARCH_RUNS: {
        "experiment_ids": [str(OWN)],
        "filter": "metrics.loss < 1 AND params.depth != '3'",
        "run_view_type": "ALL",
        "max_results": 5,
        "order_by": ["metrics.acc DESC", "attributes.start_time ASC"],
    },
    SEARCH_EXPERIMENTS: {
        "max_results": 3,
        "filter": "name LIKE 'reading%'",
        "order_by": ["name DESC"],
        "view_type": "ACTIVE_ONLY",
    },
}
GOOD = [
    *(get(route, **fields) for route, fields in GOOD_GET.items()),
    *(post(route, **fields) for route, fields in GOOD_POST.items()),
]


def named(case: Case) -> str:
    """For the name of a test."""
    return f"{case.method} {case.route.partition('?')[0].removeprefix('mlflow/')}"


_TEXTS = (
    "", " ", "0", "-1", "+1", "01", "1.5", "1e3", "x", "null", "true", "99999999999", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "9" * 25, "1_0", " 1", "1 ", "\u0661", "\0", "a\0b", "\U0001f600", "'", '"', "%",
    "%s", "\\", "a;b", "[]", "{}", "x" * 5000, "ACTIVE_ONLY", "ALL",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, "", " ", "0", "x", "10", "1.5", 0, 1, -1, 1.5, 2.0, 1e300, 2**31, 2**63, 10**30, True, False, [], {}, [None], ["x"],
    [1], [[]], {"a": 1}, "\0", "a\0b", "\U0001f600", float("nan"), "x" * 5000,
)  # fmt: skip


def otherwise_by_get(route: str) -> Iterable[Case]:
    """The good question with each field left out, twice, named otherwise, and with other values."""
    pairs = list(get_pairs(route))
    yield asked(route, [])
    yield asked(route, [*pairs, ("more", "1")])
    yield asked(route, [*pairs, ("", "1")])
    yield asked(route, reversed(pairs))
    for place, (name, value) in enumerate(pairs):
        rest = [*pairs[:place], *pairs[place + 1 :]]
        yield asked(route, rest)
        yield asked(route, [*rest, (name, value), (name, value)])
        yield asked(route, [*rest, (name, value), (name, "x")])
        yield asked(route, [*rest, (name, "x"), (name, value)])
        for other in (_camel(name), name.upper(), f"{name}[]", f"{name} "):
            yield asked(route, [*rest, (other, value)])
            yield asked(route, [*pairs, (other, value)])
        for text in _TEXTS:
            yield asked(route, [*rest, (name, text)])


def otherwise_by_post(route: str) -> Iterable[Case]:
    good = GOOD_POST[route]
    yield post(route)
    yield post(route, **good, more=1)
    for name, value in good.items():
        rest = {other: kept for other, kept in good.items() if other != name}
        yield post(route, **rest)
        yield post(route, **rest, **{_camel(name): value})
        yield post(route, **good, **{f"{name} ": value})
        yield replace(post(route, **good), name=f"{name} twice", body=_twice(good, name))
        for other in _VALUES:
            yield post(route, **rest, **{name: other})
            yield post(route, **rest, **{name: [other]})
        if isinstance(value, list):
            yield post(route, **rest, **{name: [*value, *value]})
            yield post(route, **rest, **{name: value[0]})


def get_pairs(route: str) -> Iterable[tuple[str, Any]]:
    for name, value in GOOD_GET[route].items():
        for each in value if isinstance(value, list) else [value]:
            yield name, each


def _twice(fields: dict[str, Any], name: str) -> bytes:
    return b'{"%b": null, %b' % (name.encode(), json.dumps(fields).encode()[1:])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
