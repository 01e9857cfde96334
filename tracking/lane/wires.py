"""The lane's own connections to PostgreSQL: each statement is its own transaction and prepared once a connection.

Django's are of no use here: they prepare nothing, and ask the server whether it is there before each request.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

import psycopg
from django.conf import settings
from psycopg import Connection
from psycopg_pool import ConnectionPool

from studio.lib import database

Row = tuple[Any, ...]

# A process has few cores to compute with, and PostgreSQL the same: more would only wait for each other there.
_MOST = 8
# A deadlock's loser, or who lost a race for a param: the next attempt sees what the winner has done.
_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DivisionByZero,
)
_ATTEMPTS = 6
_PAUSE = 0.02  # seconds at most before the second, doubled before each further one


_first = Lock()


@cache
def pool() -> ConnectionPool[Connection[Row]]:
    return ConnectionPool(
        settings.DATABASE_URL,
        kwargs={"autocommit": True, "application_name": "studio-lane", "prepare_threshold": 0},
        min_size=1,
        max_size=_MOST,
        timeout=10,
        reconnect_timeout=2,
        reconnect_failed=database.tell_who_waits,
        configure=_plan_once,
        check=_refuse_closed,
        open=True,
    )


def run(statement: bytes, given: Mapping[str, Any]) -> Row | None:
    """Its first row, if it has any, committed. Deadlocks and lost races are tried again, since nothing of them was kept.

    Raises psycopg.Error: OperationalError where it is not certain whether it was done.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _first:  # of several first requests each would make a pool
                wires = pool()
            with wires.connection() as wire:
                found = wire.execute(statement, given)
                return found.fetchone() if found.description else None
        except _AGAIN:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def _plan_once(wire: Connection[Row]) -> None:
    """PostgreSQL would plan each call anew, since it knows how long its lists are: at a quarter of what a call costs, or more."""
    wire.execute("SET plan_cache_mode = force_generic_plan")


def _refuse_closed(wire: Connection[Row]) -> None:
    """Raises where PostgreSQL has closed an idle connection, at its restart say. Costs no word with it."""
    looks = select.poll()  # a web process has more descriptors than `select` can name
    looks.register(wire.fileno(), select.POLLIN)
    if looks.poll(0):
        # The pool has not heard of it and would keep it, and after each that is closed it pauses for longer.
        wire.close()
        pool().drain()
        raise psycopg.OperationalError("the connection was closed while nobody used it")
