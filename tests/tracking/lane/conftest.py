"""The lane on the tests' database. It has connections of its own, so these tests commit what they write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from pytest_django import Settings

from studio.accounts.models import User
from studio.lane import wires
from studio.lane.answers import answer
from studio.lane.asking import Asker
from studio.lane.messages import Body
from tests.support.databases import url_of

# With them go all tables that refer to them: runs with all of theirs, logged models, grants.
_WRITTEN = "experiments, roles, inputs, input_tags"


@pytest.fixture(autouse=True)
def lane(transactional_db: None, settings: Settings) -> Iterator[None]:
    """Its pool connects to the tests' database, in which nothing of MLflow's is left afterwards."""
    settings.DATABASE_URL = url_of(str(connection.settings_dict["NAME"]))
    wires.pool.cache_clear()
    yield
    for kind in (wires.WRITING, wires.READING):
        wires.pool(kind).close()
    wires.pool.cache_clear()
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {_WRITTEN} CASCADE")


@pytest.fixture
def wire() -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A session that looks."""
    url = url_of(str(connection.settings_dict["NAME"]))
    with psycopg.connect(url, autocommit=True) as found:
        yield found


@pytest.fixture
def ask() -> Callable[..., tuple[int, Any]]:
    """Send this to a route, as a user. Returns the status, and the answer's JSON or text."""

    def send(user: User, route: str, body: Any) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = answer(f"mlflow/{route}", Asker(user.pk), Body(raw, "application/json"))
        is_json = told.content_type == "application/json"
        return told.status, json.loads(told.body) if is_json else told.body.decode()

    return send


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Call these all at the same moment, each in a thread of its own. Returns what they returned, or raised."""

    def call(*actions: Callable[[], Any]) -> list[Any]:
        start, told = threading.Barrier(len(actions)), [None] * len(actions)

        def act(place: int) -> None:
            start.wait(20)
            try:
                told[place] = actions[place]()
            except Exception as failure:  # noqa: BLE001 - the test's to look at
                told[place] = failure  # type: ignore[call-overload]

        threads = [threading.Thread(target=act, args=[place]) for place in range(len(actions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return told

    return call
