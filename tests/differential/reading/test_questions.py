"""Each route that reads: asked as clients ask it, as they do not, and for what is not there."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from studio.lane import PREFIXES
from tests.differential.cases import TWINS, Case
from tests.differential.cast import ADMIN
from tests.differential.lanes import Fast
from tests.differential.reading import asks
from tests.differential.reading.asks import GOOD, GOOD_GET, GOOD_POST, get, named, search
from tests.differential.reading.comparing import READING, Reading
from tests.differential.reading.ids import (
    DELETED,
    DELETED_RUN,
    EXPERIMENTS,
    FOREIGN_RUN,
    LONG,
    LONG_RUN,
    NAMES,
    OWN,
    PLAIN_RUN,
    RUN,
    RUNS,
    SECOND,
    STRANDED_RUN,
    UNKNOWN_EXPERIMENT,
    UNKNOWN_RUN,
)
from tests.differential.test_addresses import browser
from tests.support.live import Studio


@pytest.mark.parametrize("case", GOOD, ids=named)
def test_a_good_question_is_answered_by_the_lane_itself(reading: Reading, case: Case) -> None:
    (pair,) = reading.compare_native([case])
    assert pair.tells_who_answered


def test_every_route_of_the_lane_has_a_good_question() -> None:
    good = {(case.route.partition("?")[0], case.method) for case in GOOD}
    assert good >= {(route, method) for route, methods in READING.items() for method in methods}


@pytest.mark.parametrize("route", GOOD_GET)
def test_what_is_unusual_in_a_query_is_answered_as_mlflow_does(
    reading: Reading, route: str
) -> None:
    reading.compare(asks.otherwise_by_get(route))


@pytest.mark.parametrize("route", GOOD_POST)
def test_what_is_unusual_in_a_body_is_answered_as_mlflow_does(reading: Reading, route: str) -> None:
    reading.compare(asks.otherwise_by_post(route))


@pytest.mark.parametrize("case", GOOD, ids=named)
def test_a_body_counts_where_mlflow_reads_it(reading: Reading, case: Case) -> None:
    """It reads the body of a GET without a query, and never the query of a POST."""
    route = case.route.partition("?")[0]
    fields = GOOD_GET.get(route) or GOOD_POST[route]
    body = asks.post(route, **fields).body
    query = asks.asked(route, asks.get_pairs(route)).route if route in GOOD_GET else f"{route}?a=1"
    reading.compare(
        replace(case, name=f"{target} {kind} {sent[:20]!r}", route=target, body=sent, content_type=kind)
        for target in (route, query, f"{route}?=")
        for sent in (b"", b"{}", body, b"{", b"[]", b"null", body + b"x")
        for kind in (None, "application/json", "application/json; charset=utf-8")
    )  # fmt: skip


@pytest.mark.parametrize("case", GOOD, ids=named)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_answered_as_mlflow_answers(
    reading: Reading, case: Case, method: str
) -> None:
    reading.compare([replace(case, name=method, method=method)])


@pytest.mark.parametrize("prefix", [prefix.rstrip("/") for prefix in PREFIXES])
def test_every_address_answers_as_mlflow_does(reading: Reading, prefix: str) -> None:
    cases = [case.below(prefix) for case in (*GOOD, *_WRONG)]
    reading.compare(cases)


@pytest.mark.parametrize("prefix", TWINS)
def test_a_browser_is_answered_by_the_lane_too(reading: Reading, live: Studio, prefix: str) -> None:
    with closing(Fast(live.port, {ADMIN: browser(live)})) as fast:
        asking = replace(reading, arena=replace(reading.arena, fast=fast))
        asking.compare_native(case.below(prefix) for case in GOOD)
        asking.compare(case.below(prefix) for case in _WRONG)


@pytest.mark.parametrize("version", ["/api/1.0", "/api/3.0", "/ajax-api/3.0"])
def test_other_versions_are_answered_as_mlflow_answers(reading: Reading, version: str) -> None:
    reading.compare(case.below(version) for case in GOOD)


def test_every_run_is_told_as_mlflow_tells_it(reading: Reading) -> None:
    reading.compare_native(get(asks.GET_RUN, run_id=run) for run in RUNS.values())
    reading.compare_native(get(asks.GET_RUN, run_uuid=run) for run in (RUN, DELETED_RUN))


def test_every_experiment_is_told_as_mlflow_tells_it(reading: Reading) -> None:
    reading.compare_native(
        get(asks.GET_EXPERIMENT, experiment_id=e) for e in EXPERIMENTS if e != LONG
    )
    reading.compare(get(asks.GET_EXPERIMENT, experiment_id=e) for e in (LONG, 0))
    reading.compare_native(
        get(asks.BY_NAME, experiment_name=name) for e, name in NAMES.items() if e != DELETED
    )
    reading.compare([get(asks.BY_NAME, experiment_name=NAMES[DELETED])])


def test_a_run_that_is_named_otherwise_is_found_as_mlflow_finds_it(reading: Reading) -> None:
    reading.compare(
        [
            *(get(asks.GET_RUN, run_id=run, run_uuid=other) for run, other in _TWO),
            *(get(asks.GET_RUN, run_uuid=run, run_id=other) for run, other in _TWO),
            *(get(asks.GET_RUN, run_id=run) for run in _ODD_RUNS),
            *(get(asks.HISTORY, run_id=run, metric_key="loss") for run in _ODD_RUNS),
            *(get(asks.HISTORY, run_uuid=run, metric_key="loss") for run in _ODD_RUNS),
            *(get(asks.HISTORY, run_id=run, run_uuid=other, metric_key="loss") for run, other in _TWO),
            *(get(asks.BULK, run_id=[RUN, run], metric_key="loss") for run in _ODD_RUNS),
            *(get(asks.INTERVAL, run_ids=[RUN, run], metric_key="loss") for run in _ODD_RUNS),
            *(get(asks.BULK, run_uuid=run, metric_key="loss") for run in _ODD_RUNS),
        ]
    )  # fmt: skip


def test_an_experiment_that_is_named_otherwise_is_found_as_mlflow_finds_it(
    reading: Reading,
) -> None:
    reading.compare(
        [
            *(get(asks.GET_EXPERIMENT, experiment_id=given) for given in _ODD_EXPERIMENTS),
            *(search(experiment_ids=[given]) for given in _ODD_EXPERIMENTS),
            *(search(experiment_ids=[str(OWN), given]) for given in _ODD_EXPERIMENTS),
            *(get(asks.BY_NAME, experiment_name=given) for given in _ODD_NAMES),
        ]
    )


def test_as_many_experiments_as_you_like_are_searched(reading: Reading) -> None:
    many = [str(number) for number in range(800_000_000, 800_010_000)]
    reading.compare_native(
        [
            search(experiment_ids=[*many, str(OWN), str(SECOND)], max_results=7),
            search(experiment_ids=[str(OWN)] * 100, max_results=7),
        ]
    )
    reading.compare([search(experiment_ids=many), search(experiment_ids=[]), search(experiment_ids=[LONG])])  # fmt: skip


_WRONG = [
    get(asks.GET_RUN, run_id=UNKNOWN_RUN),
    get(asks.HISTORY, run_id=RUN, metric_key="loss", max_results=0),
    get(asks.BULK, run_id=RUN),
    get(asks.INTERVAL, run_ids=RUN, metric_key="loss", start_step=1),
    get(asks.GET_EXPERIMENT, experiment_id=UNKNOWN_EXPERIMENT),
    get(asks.BY_NAME, experiment_name="unknown"),
    get(asks.SEARCH_EXPERIMENTS, max_results=0),
    search(filter="metrics.loss = 'x'"),
]
_ODD_RUNS = (
    UNKNOWN_RUN, DELETED_RUN, STRANDED_RUN, FOREIGN_RUN, LONG_RUN, PLAIN_RUN, RUN.upper(), RUN[:-1], RUN + "0", f" {RUN}", f"{RUN}\n",
    "'", "%", "\U0001f600", "\\",
)  # fmt: skip
_TWO = [(RUN, PLAIN_RUN), (RUN, ""), ("", RUN), (RUN, UNKNOWN_RUN), (UNKNOWN_RUN, RUN), ("", "")]
_ODD_EXPERIMENTS = (
    UNKNOWN_EXPERIMENT, str(LONG), str(DELETED), f"0{OWN}", f" {OWN}", f"{OWN} ", f"+{OWN}", f"-{OWN}", f"{OWN}.0", "0", "00", "x",
    "", "2147483647", "2147483648", "9223372036854775808", "9" * 30, "'", "\u0661", "1_0",
)  # fmt: skip
_ODD_NAMES = (
    "unknown", NAMES[OWN].upper(), f" {NAMES[OWN]}", f"{NAMES[OWN]} ", NAMES[OWN][:-1], "reading%", "%", "'", '"', "\\", "\U0001f600",
    "x" * 300, "Default", "0", "e\u0301",
)  # fmt: skip
