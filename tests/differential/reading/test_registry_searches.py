"""What nobody has thought of: searches of models and versions that hypothesis makes up, by everybody, page after page."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest

from tests.differential.cases import Case
from tests.differential.reading.comparing import Reading
from tests.differential.reading.registry_generated import SEARCHES
from tests.differential.reading.walking import walked

EXAMPLES = 150


def _from(case: Case, token: str) -> Case:
    return replace(case, route=f"{case.route}&{urlencode({'page_token': token})}")


@pytest.mark.parametrize("route", SEARCHES)
def test_generated_searches_of_the_registry_find_the_same(reading: Reading, route: str) -> None:
    asked = walked(reading, SEARCHES[route], EXAMPLES, _from)
    told = [pair for pair in asked if pair.tells_who_answered]
    assert len(told) > len(asked) / 3
    assert all(pair.is_native for pair in told)
    refused = [pair for pair in asked if pair.reference.status not in (200, 403)]
    assert refused == [], "\n".join(map(str, refused[:5]))
