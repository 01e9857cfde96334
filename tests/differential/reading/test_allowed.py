"""Where Studio answers otherwise than MLflow on purpose: each difference is still one."""

from __future__ import annotations

import pytest

from tests.differential.cases import Case
from tests.differential.reading.allowed import ALLOWED
from tests.differential.reading.asks import BULK, GET_RUN, found, get, search
from tests.differential.reading.comparing import Allowed, Reading
from tests.differential.reading.ids import NOBODYS_RUN, UNKNOWN_RUN

MET: dict[str, Case] = {
    "a filter that only Studio's language has": found("metrics.loss < 1 OR metrics.loss > 1"),
    "a filter that is none": found("x"),
    "a pattern that ends with a single backslash": found("tags.text LIKE '%\\'"),
    "what is not there is not told apart from what is somebody else's": get(
        BULK, run_id=UNKNOWN_RUN, metric_key="loss"
    ).by("reader"),
    "a time that no column can hold": found("start_time < 99999999999999999999"),
    "a run of nobody": get(GET_RUN, run_id=NOBODYS_RUN),
    "an order by the same key twice": search(order_by=["metrics.loss", "metrics.loss DESC"]),
}


def test_each_has_a_case() -> None:
    assert MET.keys() == {allowed.name for allowed in ALLOWED}


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda allowed: allowed.name)
def test_each_is_met(reading: Reading, allowed: Allowed) -> None:
    (pair,) = reading.pairs([MET[allowed.name]])
    assert not pair.same
    assert [each.name for each in ALLOWED if each.recognises(pair)] == [allowed.name]
