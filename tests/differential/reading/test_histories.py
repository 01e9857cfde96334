"""The histories of metrics: each point, in its order, and samples of many."""

from __future__ import annotations

import pytest

from tests.differential.reading import asks
from tests.differential.reading.asks import get
from tests.differential.reading.comparing import Reading
from tests.differential.reading.ids import (
    DELETED_RUN,
    FOREIGN_RUN,
    LONG_RUN,
    NEGATIVE_ZERO_RUN,
    PLAIN_RUN,
    RUN,
    SECOND_RUN,
    STRANDED_RUN,
    UNKNOWN_RUN,
)
from tests.differential.reading.rows import ODD_KEYS

_KEYS = ("loss", "many", "flat", "same", *ODD_KEYS)
_NO_KEYS = ("none", "", " ", "LOSS", "loss ", "los_", "%", "\0", "x" * 1000)
_HOLDERS = (RUN, PLAIN_RUN, SECOND_RUN, FOREIGN_RUN, DELETED_RUN, STRANDED_RUN, LONG_RUN)


@pytest.mark.parametrize("route", [asks.HISTORY, asks.BULK])
def test_every_history_is_told_as_mlflow_tells_it(reading: Reading, route: str) -> None:
    pairs = reading.compare_native(get(route, run_id=RUN, metric_key=key) for key in _KEYS)
    assert all(pair.tells_who_answered for pair in pairs)
    reading.compare(get(route, run_id=run, metric_key="loss") for run in _HOLDERS)
    reading.compare(get(route, run_id=RUN, metric_key=key) for key in _NO_KEYS)


@pytest.mark.parametrize("route", [asks.HISTORY, asks.BULK])
@pytest.mark.parametrize("most", [1, 2, 11, 12, 13, 2500, 24_999, 25_000, 25_001, 10**6, 0, -1, "x", "1.0", "+3", " 3", "03", 2**31, 2**63, 2**64])  # fmt: skip
def test_a_history_is_cut_where_mlflow_cuts_it(reading: Reading, route: str, most: object) -> None:
    reading.compare(get(route, run_id=RUN, metric_key=key, max_results=most) for key in ("loss", "many", "none"))  # fmt: skip


@pytest.mark.parametrize("name, route", [("run_id", asks.BULK), ("run_ids", asks.INTERVAL)])
def test_histories_of_several_runs_are_told_as_mlflow_tells_them(
    reading: Reading, name: str, route: str
) -> None:
    reading.compare(
        get(route, **{name: runs, "metric_key": key}, **most)
        for runs in (
            [RUN, PLAIN_RUN], [PLAIN_RUN, RUN], [RUN, RUN], [RUN, UNKNOWN_RUN], [UNKNOWN_RUN], [RUN, ""], [RUN, FOREIGN_RUN, SECOND_RUN],
            [RUN, DELETED_RUN, STRANDED_RUN], [RUN, *["f" * 31 + f"{n:x}" for n in range(15)]],
        )
        for key in ("loss", "many", "none")
        for most in ({}, {"max_results": 7})
    )  # fmt: skip
    reading.compare(get(route, **{name: [RUN] * many, "metric_key": "none"}) for many in (20, 100, 101))  # fmt: skip


@pytest.mark.parametrize("key", [*_KEYS, "tied"])
@pytest.mark.parametrize("most", [None, 1, 2, 3, 7, 39, 40, 41, 100, 999, 1000, 2499, 2500])
def test_samples_are_the_same_points(reading: Reading, key: str, most: int | None) -> None:
    fields = {} if most is None else {"max_results": most}
    whole = get(asks.INTERVAL, run_ids=RUN, metric_key=key, **fields)
    (pair,) = reading.compare_native([whole])
    assert pair.tells_who_answered
    bounds = ((0, 0), (0, 1), (-100, 3000), (1, 1), (5000, 9000)) if key in ("loss", "many") else ()
    reading.compare(
        get(asks.INTERVAL, run_ids=RUN, metric_key=key, start_step=start, end_step=end, **fields)
        for start, end in bounds
    )


_BOUNDS = ("0", "1", "-1", "100", "", "x", "1.5", "1e3", "+1", " 1", "01", "1_0", "\u0661", str(2**63 - 1), str(-(2**63)), str(2**63), "9" * 5000)  # fmt: skip


@pytest.mark.parametrize("bound", _BOUNDS, ids=lambda bound: repr(bound[:20]))
def test_bounds_are_read_as_mlflow_reads_them(reading: Reading, bound: str) -> None:
    ask = {"run_ids": RUN, "metric_key": "many", "max_results": 3}
    reading.compare(
        [
            get(asks.INTERVAL, **ask, start_step=bound),
            get(asks.INTERVAL, **ask, end_step=bound),
            get(asks.INTERVAL, **ask, start_step=bound, end_step=bound),
            get(asks.INTERVAL, **ask, start_step=bound, end_step="50"),
            get(asks.INTERVAL, **ask, start_step="0", end_step=bound),
            get(asks.INTERVAL, **ask, start_step=["0", bound], end_step=["50", bound]),
            get(asks.INTERVAL, **{**ask, "max_results": bound}),
            get(asks.INTERVAL, **{**ask, "max_results": ["3", bound]}),
        ]
    )


@pytest.mark.parametrize("most", ["0", "-1", "2501", "25000", str(2**31), "", "x"])
def test_sizes_of_samples_are_refused_as_mlflow_refuses(reading: Reading, most: str) -> None:
    reading.compare([get(asks.INTERVAL, run_ids=RUN, metric_key="many", max_results=most)])


def test_zero_keeps_its_sign(reading: Reading) -> None:
    reading.compare_native(
        [
            get(asks.GET_RUN, run_id=NEGATIVE_ZERO_RUN),
            get(asks.HISTORY, run_id=NEGATIVE_ZERO_RUN, metric_key="zero"),
            get(asks.BULK, run_id=NEGATIVE_ZERO_RUN, metric_key="zero"),
            get(asks.INTERVAL, run_ids=NEGATIVE_ZERO_RUN, metric_key="zero"),
        ]
    )
