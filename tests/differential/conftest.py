"""Both lanes of the running Studio, and who asks them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from studio.lib.home import Home
from studio.lib.secrets import derive
from tests.differential.arena import Arena
from tests.differential.cast import Cast, make_cast
from tests.differential.deviations import DEVIATIONS
from tests.differential.lanes import Fast, Reference
from tests.differential.twins import forget_twins, start_numbering
from tests.support.live import Studio


@pytest.fixture(scope="session")
def database(live: Studio) -> Iterator[psycopg.Connection[Any]]:
    url = json.loads(live.manage("status", "--json"))["database_url"]
    with psycopg.connect(url, autocommit=True) as connection:
        start_numbering(connection)
        yield connection


@pytest.fixture(scope="session")
def cast(live: Studio, database: psycopg.Connection[Any]) -> Cast:
    return make_cast(live, database)


@pytest.fixture(scope="session")
def arena(live: Studio, database: psycopg.Connection[Any], cast: Cast) -> Iterator[Arena]:
    home, since = Home(live.home), int(time.time() * 1000)
    key = derive(home.secret("secret-key"), "mlflow identity")
    bearers = {who: {"Authorization": f"Bearer {token}"} for who, token in cast.tokens.items()}
    with (
        closing(Fast(live.port, bearers)) as fast,
        closing(Reference(home.reference_socket, key, cast.names)) as reference,
    ):
        yield Arena(database, fast, reference, cast.grants, DEVIATIONS, since)


@pytest.fixture(autouse=True, scope="module")
def forgotten(arena: Arena, database: psycopg.Connection[Any]) -> Iterator[None]:
    """What a module has made is gone when others have the running Studio."""
    yield
    forget_twins(database)


@pytest.fixture(autouse=True)
def counted(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """Tell how many pairs a test has compared: the sum is a line of the summary (tests/conftest.py)."""
    arena = request.getfixturevalue("arena") if "arena" in request.fixturenames else None
    before = arena.pairs if arena else 0
    yield
    if arena:
        record_property("pairs compared on both lanes", arena.pairs - before)
