"""What nobody has thought of: stories that hypothesis makes up, the same ones in each run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.arena import Arena
from tests.differential.cases import Story
from tests.differential.generated import STORIES

EXAMPLES = 500


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_generated_stories_end_the_same(arena: Arena) -> None:
    before = arena.pairs

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take minutes, and the pair that is told is clear
        suppress_health_check=list(HealthCheck),
    )
    @given(STORIES)
    def end_the_same(story: Story) -> None:
        arena.compare([story])

    end_the_same()
    assert arena.pairs - before >= EXAMPLES
