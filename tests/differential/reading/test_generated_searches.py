"""What nobody has thought of: searches that hypothesis makes up, the same ones in each run, page after page."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.differential.cases import Case
from tests.differential.reading.comparing import Reading
from tests.differential.reading.generated import SEARCHES
from tests.differential.reading.walking import walked

EXAMPLES = 500


def _from(case: Case, token: str) -> Case:
    fields = json.loads(case.body) | {"page_token": token}
    return replace(case, body=json.dumps(fields).encode())


def test_generated_searches_find_the_same(reading: Reading) -> None:
    asked = walked(reading, SEARCHES, EXAMPLES, _from)
    told = [pair for pair in asked if pair.tells_who_answered]
    assert len(told) > len(asked) / 2
    assert len([pair for pair in told if pair.is_native]) > 0.99 * len(told)
    refused = [pair for pair in asked if pair.reference.status != 200]
    assert len(refused) < 0.01 * len(asked), "\n".join(map(str, refused[:5]))
