"""Calls one after the other, and what they leave: the same on both lanes."""

from __future__ import annotations

import pytest

from tests.differential.arena import Arena
from tests.differential.cases import Story
from tests.differential.stories import making, metrics, values

STORIES = {
    "metrics": metrics.STORIES,
    "metrics of models": metrics.MODELS,
    "params": values.PARAMS,
    "tags": values.TAGS,
    "batches": values.BATCHES,
    "experiments": making.EXPERIMENTS,
    "runs": making.RUNS,
    "updates": making.UPDATES,
    "inputs": making.INPUTS,
}


@pytest.mark.parametrize("stories", STORIES.values(), ids=STORIES)
def test_calls_one_after_the_other_leave_the_same(arena: Arena, stories: list[Story]) -> None:
    arena.compare(stories)
