"""Searches that hypothesis makes up, asked of both lanes page after page: the same ones in each run."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.differential.cases import Case
from tests.differential.reading.comparing import Pair, Reading

_PAGES = 4  # of one search at most

# The same search, from a page token on.
Following = Callable[[Case, str], Case]


def walked(
    reading: Reading, searches: st.SearchStrategy[Case], examples: int, following: Following
) -> list[Pair]:
    """Every pair. Fails with those that are not the same, and not so on purpose."""
    asked: list[Pair] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(searches)
    def walk(case: Case) -> None:
        asked.extend(_pages(reading, case, following))

    walk()
    assert len(asked) >= examples
    return asked


def _pages(reading: Reading, case: Case, following: Following) -> list[Pair]:
    found = reading.compare([case])
    while len(found) < _PAGES and found[-1].same and found[-1].fast.status == 200:
        token = found[-1].content.get("next_page_token")
        if not token:
            break
        found += reading.compare([following(case, token)])
    return found
