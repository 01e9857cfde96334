"""Page after page, on tokens of either lane; and tokens that are none."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.differential.cases import Case
from tests.differential.reading import asks
from tests.differential.reading.asks import get, post, search
from tests.differential.reading.comparing import Reading, settled
from tests.differential.reading.ids import OWN, RUN, SECOND

_NAMED = "name ILIKE 'reading%'"
# By the name of the list that is told in pages.
PAGED: dict[str, tuple[str, Callable[..., Case]]] = {
    "runs": ("runs", lambda **more: search(run_view_type="ALL", **more)),
    "runs in an order": (
        "runs",
        lambda **more: search(
            order_by=["metrics.loss DESC", "status"],
            filter="metrics.acc > 0",
            experiment_ids=[str(OWN), str(SECOND)],
            **more,
        ),
    ),
    "experiments by GET": (
        "experiments",
        lambda **more: get(asks.SEARCH_EXPERIMENTS, view_type="ALL", filter=_NAMED, **more),
    ),
    "experiments by POST": (
        "experiments",
        lambda **more: post(asks.SEARCH_EXPERIMENTS, view_type="ALL", filter=_NAMED, **more),
    ),
    "models": ("registered_models", lambda **more: get(asks.SEARCH_MODELS, filter=_NAMED, **more)),
    "models in an order": (
        "registered_models",
        lambda **more: get(
            asks.SEARCH_MODELS, filter=_NAMED, order_by=["timestamp DESC", "name DESC"], **more
        ),
    ),
    "versions": ("model_versions", lambda **more: get(asks.SEARCH_VERSIONS, filter=_NAMED, **more)),
    "versions in an order": (
        "model_versions",
        lambda **more: get(
            asks.SEARCH_VERSIONS, filter=_NAMED, order_by=["version_number", "name DESC"], **more
        ),
    ),
    "a history": ("metrics", lambda **more: get(asks.HISTORY, run_id=RUN, metric_key="loss", **more)),
}  # fmt: skip
_KINDS = pytest.mark.parametrize("kind", PAGED)


def walked(reading: Reading, kind: str, size: int) -> list[Any]:
    """All that is told on pages of this size: each token is of the fast lane, and both lanes take it."""
    name, ask = PAGED[kind]
    told: list[Any] = []
    more: dict[str, str] = {}
    while True:
        (pair,) = reading.compare_native([ask(max_results=size, **more)])
        content = pair.content
        told += content.get(name, [])
        if "next_page_token" not in content:
            return told
        assert len(content[name]) == size
        more = {"page_token": content["next_page_token"]}


@_KINDS
def test_pages_have_everything_once_and_in_order(reading: Reading, kind: str) -> None:
    name, ask = PAGED[kind]
    (pair,) = reading.compare_native([ask(max_results=1000)])
    for size in (1, 3, 5, 12, 60):
        assert settled(walked(reading, kind, size)) == settled(pair.content[name])


@_KINDS
@pytest.mark.parametrize("most", [0, 1, -1, 2, "10", "x", "", 25_000, 49_999, 50_000, 50_001, 60_000, 2**31, 2**63, -(2**63), 10**30, 1.0, 1.5])  # fmt: skip
def test_every_size_of_a_page_is_answered_the_same(
    reading: Reading, kind: str, most: object
) -> None:
    reading.compare([PAGED[kind][1](max_results=most)])


def _token(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_TOKENS = (
    "", "x", "%", "\U0001f600", "a" * 10_000, "\0", "====", _token(""), _token("x"), _token("{}"), _token("[]"), _token("1"), _token("null"),
    *(_token(f'{{"offset": {n}}}') for n in ("0", "1", "3", "-1", "59", "60", "1e3", "1.5", "true", "null", '"1"', "[]", str(2**31), str(2**63 - 1), str(2**63), "9" * 30, "NaN")),
    _token('{"offset": 1}').rstrip("="), _token('{"offset": 1, "more": 2}'), _token('{"offset":2}'), _token(' {"offset" : 2 } '), _token('{"offset": 1, "offset": 2}'),
    _token('{"offset": 2}') + "\n", "\n" + _token('{"offset": 2}'), _token('{"offset": 2}') + "*", _token('{"offset": 20}').replace("=", "-"),
)  # fmt: skip


@_KINDS
def test_tokens_that_are_none_are_answered_the_same(reading: Reading, kind: str) -> None:
    """Those of another question count as well: they tell how many to leave out."""
    reading.compare(PAGED[kind][1](max_results=2, page_token=token) for token in _TOKENS)
    no_texts: tuple[Any, ...] = (1, None, True, [])
    reading.compare(PAGED[kind][1](max_results=2, page_token=token) for token in no_texts)
