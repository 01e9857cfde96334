"""Who may see what: each route by each of the cast, on what is theirs and what is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mlflow.utils.search_utils import SearchUtils

from tests.differential.cases import Case, Expected
from tests.differential.cast import EVERYBODY
from tests.differential.reading import asks
from tests.differential.reading.asks import GOOD, get, post, search
from tests.differential.reading.comparing import READING, Reading
from tests.differential.reading.ids import (
    BARE,
    DELETED,
    DELETED_RUN,
    FOREIGN,
    FOREIGN_RUN,
    LONG,
    NAMES,
    OWN,
    RUN,
    RUNS,
    SECOND,
    SECOND_RUN,
    STRANDED_RUN,
    UNKNOWN_EXPERIMENT,
    UNKNOWN_RUN,
)
from tests.differential.reading.registry_rows import (
    BARE as BARE_MODEL,
)
from tests.differential.reading.registry_rows import (
    GONE,
    MODELS,
    PROMPTS,
    STAGED,
    UNKNOWN_NAME,
)

OK, INVALID, REFUSED, MISSING = Expected
_RUNS = (RUN, SECOND_RUN, FOREIGN_RUN, DELETED_RUN, STRANDED_RUN, UNKNOWN_RUN, "", RUNS[3], RUNS[4], RUNS[7])  # fmt: skip
_PAIRS = ((RUN, SECOND_RUN), (RUN, FOREIGN_RUN), (FOREIGN_RUN, RUN), (RUN, UNKNOWN_RUN), (RUN, DELETED_RUN))  # fmt: skip
_EXPERIMENTS = (OWN, SECOND, FOREIGN, DELETED, BARE, LONG, UNKNOWN_EXPERIMENT, 0, "")
_SETS: tuple[list[Any], ...] = (
    [OWN, FOREIGN, UNKNOWN_EXPERIMENT], [FOREIGN], [UNKNOWN_EXPERIMENT], [OWN, SECOND], [SECOND, DELETED, FOREIGN, OWN], [],
    [OWN, LONG], [BARE, OWN], [0, OWN], ["", OWN], ["x", OWN],
)  # fmt: skip
_LISTINGS: tuple[dict[str, object], ...] = (
    {}, {"view_type": "ALL"}, {"filter": "name ILIKE 'reading%'"}, {"filter": "name ILIKE 'reading%'", "max_results": 1},
    {"filter": "name ILIKE 'reading%'", "max_results": 2, "order_by": ["name DESC"], "view_type": "ALL"},
    {"filter": "tags.`text 2` = 'plain'"}, {"view_type": "DELETED_ONLY"}, {"max_results": 0}, {"filter": "x"},
)  # fmt: skip
_MODELS = (*MODELS, *PROMPTS, UNKNOWN_NAME)
_REGISTERED: tuple[dict[str, object], ...] = (
    {"max_results": 500}, {"filter": "name ILIKE 'reading%'"}, {"filter": "tags.text = 'plain'", "max_results": 1}, {"max_results": 0}, {"filter": "x"},
    {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"},
)  # fmt: skip

ON: dict[str, list[Case]] = {
    asks.GET_RUN: [get(asks.GET_RUN, run_id=run) for run in _RUNS],
    asks.SEARCH_RUNS: [
        *(search(experiment_ids=list(map(str, some)), max_results=4, run_view_type="ALL") for some in _SETS),
        search(run_view_type="ALL"),
        search(filter="x"),
        search(max_results=0),
    ],
    asks.HISTORY: [get(asks.HISTORY, run_id=run, metric_key="loss") for run in _RUNS],
    asks.BULK: [
        *(get(asks.BULK, run_id=run, metric_key="loss") for run in _RUNS),
        *(get(asks.BULK, run_id=list(runs), metric_key="loss") for runs in _PAIRS),
    ],
    asks.INTERVAL: [
        *(get(asks.INTERVAL, run_ids=run, metric_key="loss") for run in _RUNS),
        *(get(asks.INTERVAL, run_ids=list(runs), metric_key="loss") for runs in _PAIRS),
    ],
    asks.GET_EXPERIMENT: [get(asks.GET_EXPERIMENT, experiment_id=given) for given in _EXPERIMENTS],
    asks.BY_NAME: [get(asks.BY_NAME, experiment_name=name) for name in (*NAMES.values(), "x", "")],
    asks.SEARCH_EXPERIMENTS: [
        *(get(asks.SEARCH_EXPERIMENTS, **fields) for fields in _LISTINGS),
        *(post(asks.SEARCH_EXPERIMENTS, **fields) for fields in _LISTINGS),
    ],
    asks.GET_MODEL: [get(asks.GET_MODEL, name=name) for name in (*_MODELS, "")],
    asks.SEARCH_MODELS: [get(asks.SEARCH_MODELS, **fields) for fields in _REGISTERED],
    asks.GET_VERSION: [get(asks.GET_VERSION, name=name, version="1") for name in (*_MODELS, "")],
    asks.SEARCH_VERSIONS: [get(asks.SEARCH_VERSIONS, **fields) for fields in _REGISTERED],
    asks.BY_ALIAS: [get(asks.BY_ALIAS, name=name, alias="first") for name in (*_MODELS, "")],
}  # fmt: skip


@pytest.mark.parametrize("route", ON)
def test_both_lanes_say_the_same_to_everybody(reading: Reading, route: str) -> None:
    reading.compare(case.by(who) for who in EVERYBODY for case in ON[route])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_of_experiments_leave_out_the_same(reading: Reading, size: int) -> None:
    """MLflow goes on where some of a page may not be seen, and counts those in its tokens."""
    named = {"filter": "name ILIKE 'reading%'", "view_type": "ALL", "max_results": size}
    tokens = [SearchUtils.create_page_token(offset).decode() for offset in range(8)]
    pages = [get(asks.SEARCH_EXPERIMENTS, **named, page_token=token) for token in tokens]
    reading.compare(page.by(who) for who in EVERYBODY for page in pages)


@pytest.mark.parametrize("case", GOOD, ids=asks.named)
@pytest.mark.parametrize("who", ["reader", "editor", "denied models", "editor of everything"])
def test_who_may_see_it_is_answered_by_the_lane_itself(
    reading: Reading, case: Case, who: str
) -> None:
    reading.compare_native([case.by(who)])


def test_models_are_hidden_from_whom_they_are_denied(reading: Reading) -> None:
    ask: list[Callable[[str], Case]] = [
        lambda who: get(asks.GET_RUN, run_id=RUN).by(who),
        lambda who: search(filter=f"run_id = '{RUN}'").by(who),
    ]
    for each in ask:
        shown, hidden = reading.compare_native([each("reader"), each("denied models")])
        assert b"model_id" in shown.fast.body
        assert b"model_id" not in hidden.fast.body


# At least one success, validation error, not-found and refusal of each route: MLflow itself must answer so.
EXCEPT = {
    # A search finds nothing, where others refuse or do not find; and an unknown run has no points.
    asks.HISTORY: {MISSING},
    asks.SEARCH_RUNS: {REFUSED, MISSING},
    asks.SEARCH_EXPERIMENTS: {REFUSED, MISSING},
    asks.SEARCH_MODELS: {REFUSED, MISSING},
    asks.SEARCH_VERSIONS: {MISSING},
}
_UNKNOWN = [
    get(asks.BULK, run_id=UNKNOWN_RUN, metric_key="loss"),
    get(asks.INTERVAL, run_ids=UNKNOWN_RUN, metric_key="loss"),
]
PROVEN: list[Case] = [
    *(replace(case, expected=OK) for case in GOOD),
    *(case.by("stranger", REFUSED) for case in GOOD if "search" not in case.route),
    replace(get(asks.GET_RUN, run_id=""), expected=INVALID),
    replace(get(asks.GET_RUN, run_id=UNKNOWN_RUN), expected=MISSING),
    replace(search(max_results=0), expected=INVALID),
    replace(get(asks.HISTORY, run_id=RUN), expected=INVALID),
    *(case.by("reader", MISSING) for case in _UNKNOWN),
    replace(get(asks.BULK, run_id=RUN), expected=INVALID),
    replace(get(asks.INTERVAL, run_ids=RUN, metric_key="loss", start_step=1), expected=INVALID),
    replace(get(asks.GET_EXPERIMENT, experiment_id=""), expected=INVALID),
    replace(get(asks.GET_EXPERIMENT, experiment_id=UNKNOWN_EXPERIMENT), expected=MISSING),
    replace(get(asks.BY_NAME, experiment_name=""), expected=INVALID),
    replace(get(asks.BY_NAME, experiment_name="unknown"), expected=MISSING),
    replace(get(asks.SEARCH_EXPERIMENTS, max_results=0), expected=INVALID),
    replace(get(asks.GET_MODEL, name=""), expected=INVALID),
    replace(get(asks.GET_MODEL, name=UNKNOWN_NAME), expected=MISSING),
    replace(get(asks.SEARCH_MODELS, max_results=1001), expected=INVALID),
    replace(get(asks.GET_VERSION, name=STAGED, version="x"), expected=INVALID),
    replace(get(asks.GET_VERSION, name=GONE, version="1"), expected=MISSING),
    replace(get(asks.SEARCH_VERSIONS, max_results=0), expected=INVALID),
    get(asks.SEARCH_VERSIONS, filter=f"run_id = '{RUN}'").by("denied runs", REFUSED),
    replace(get(asks.BY_ALIAS, name=STAGED, alias="unknown"), expected=INVALID),
    replace(get(asks.BY_ALIAS, name=BARE_MODEL, alias="latest"), expected=MISSING),
]


def test_every_route_is_shown_to_succeed_and_to_fail_in_each_way(reading: Reading) -> None:
    shown = defaultdict(set)
    for pair in reading.compare(PROVEN):
        assert pair.case.expected is not None
        assert str(pair.reference.status) == pair.case.expected, pair
        shown[pair.case.route.partition("?")[0]].add(pair.case.expected)
    for route in READING:
        assert shown[route] == set(Expected) - EXCEPT.get(route, set()), route
