"""A page of runs in an experiment of ten times as many: Studio alone, in times of what it takes in the smaller one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.bench.content import looked_into
from tests.bench.reading import in_turn, rate, studio_side
from tests.bench.reads import BY_METRIC, PAGE, page
from tests.bench.seeded_runs import VALUES
from tests.bench.seeding import Seeded
from tests.bench.timing import Result
from tests.support.live import Studio, studio

_SMALLER, _LARGER = 10_000, 100_000
_MARK = 2  # times
# What else is asked of the larger one, by what is told. Of each of them there are more runs than a page has.
_ASKED: dict[str, dict[str, object]] = {
    "ordered by a metric": {"order_by": BY_METRIC},
    "with a param that a fifth has": {"filter": "params.param_0 = '3'"},
    "with a tag that a sixth has": {"filter": "tags.tag_1 = 'as people write 3'"},
    "with a part of a name that 4 % have": {"filter": "attributes.run_name LIKE '%77%'"},
    "ordered by name": {"order_by": ["attributes.run_name ASC"]},
}


def measure(_: Studio) -> list[Result]:
    """On a Studio of its own: the smaller experiment is measured where there are no other runs."""
    smaller, larger = f"{_SMALLER:,} runs", f"{_LARGER:,} runs"
    with studio(seconds=120) as alone:
        own = studio_side(alone)
        rates = _rates(own, {smaller: page(own, _SMALLER)})
        others = {told: page(own, _LARGER, **more) for told, more in _ASKED.items()}
        rates |= _rates(own, {larger: page(own, _LARGER), **others})
    return [
        Result(
            f"runs/search, page of {PAGE}, newest first: {larger} in times of {smaller}",
            {told: f"{1000 / found:.1f} ms" for told, found in rates.items()},
            rates[smaller] / rates[larger],
            "×",
            "at most",
            _MARK,
        )
    ]


def _rates(own: Seeded, asked: Mapping[str, bytes]) -> dict[str, float]:
    """Answers a second by what is told. Raises RuntimeError where one is no page of whole runs."""
    lengths = {}
    for told, request in asked.items():
        answer = own.side.answer(request)
        looked_into(own.side, told, PAGE * VALUES, answer)
        lengths[told] = len(answer)
    return in_turn(
        {told: partial(rate, own.side, asked[told], length) for told, length in lengths.items()}
    )
