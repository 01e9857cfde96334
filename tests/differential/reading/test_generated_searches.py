"""What nobody has thought of: searches that hypothesis makes up, the same ones in each run, page after page."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.cases import Case
from tests.differential.reading.comparing import Pair, Reading
from tests.differential.reading.generated import SEARCHES

EXAMPLES = 500
_PAGES = 4  # of one search at most


def test_generated_searches_find_the_same(reading: Reading) -> None:
    asked: list[Pair] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(SEARCHES)
    def find_the_same(case: Case) -> None:
        asked.extend(_walked(reading, case))

    find_the_same()
    assert len(asked) >= EXAMPLES
    told = [pair for pair in asked if pair.tells_who_answered]
    assert len(told) > len(asked) / 2
    assert len([pair for pair in told if pair.is_native]) > 0.99 * len(told)
    refused = [pair for pair in asked if pair.reference.status != 200]
    assert len(refused) < 0.01 * len(asked), "\n".join(map(str, refused[:5]))


def _walked(reading: Reading, case: Case) -> list[Pair]:
    found = reading.compare([case])
    while len(found) < _PAGES and found[-1].same and "next_page_token" in found[-1].content:
        fields = json.loads(case.body) | {"page_token": found[-1].content["next_page_token"]}
        found += reading.compare([replace(case, body=json.dumps(fields).encode())])
    return found
