"""Who may do what: both lanes say the same to everybody."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.differential.arena import Arena
from tests.differential.cases import Expected, alone
from tests.differential.stories import people
from tracking.lane import LANE

# Nothing has to be there when an experiment is made.
EXCEPT = {"mlflow/experiments/create": {Expected.NOT_FOUND}}


@pytest.mark.parametrize("route", LANE.writing)
def test_both_lanes_say_the_same_to_everybody(arena: Arena, route: str) -> None:
    arena.compare(map(alone, people.cases_of(route)))


@pytest.mark.parametrize("who", ["admin", "editor", "reader", "denied models", "editor of runs"])
def test_models_are_asked_about_as_well_as_the_run(arena: Arena, who: str) -> None:
    arena.compare(alone(case.by(who)) for case in people.OF_MODELS)


def test_every_fast_route_is_shown_to_succeed_and_to_fail_in_each_way(arena: Arena) -> None:
    shown = defaultdict(set)
    for pair in arena.play(map(alone, people.PROVEN)):
        assert pair.case.expected is not None
        assert str(pair.reference.status) == pair.case.expected, pair.case
        assert arena.allows(pair), pair
        shown[pair.case.route].add(pair.case.expected)
    assert shown == {route: set(Expected) - EXCEPT.get(route, set()) for route in LANE.writing}
