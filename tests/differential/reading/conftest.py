"""What is there to be read, in the running Studio, and both lanes to read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.differential.arena import Arena
from tests.differential.cast import Cast
from tests.differential.reading.allowed import ALLOWED
from tests.differential.reading.comparing import Reading
from tests.differential.reading.planting import clear, plant


@pytest.fixture(scope="module")
def reading(arena: Arena, database: psycopg.Connection[Any], cast: Cast) -> Iterator[Reading]:
    plant(database, cast)
    yield Reading(arena, ALLOWED)
    clear(database, cast)
