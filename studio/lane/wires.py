"""The lane's own connections to PostgreSQL: each statement is its own transaction, a write prepared once a connection.

Django's are of no use here: they prepare nothing, and ask the server whether it is there before each request.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from threading import Lock
from typing import Any, NamedTuple

import psycopg
from django.conf import settings
from psycopg import Connection
from psycopg_pool import ConnectionPool

from studio.lib import database
from studio.lib.sql import PATIENCE, Sql

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


class Kind(NamedTuple):
    """What connections of a pool are for, and how they are set."""

    name: str
    settings: tuple[bytes, ...]


# PostgreSQL would plan each write anew, since it knows how long its lists are: at a quarter of what it costs, or more.
WRITING = Kind("studio-lane", (b"SET plan_cache_mode = force_generic_plan",))
# A search that takes longer is broken off, and none takes all cores. To compile one would cost more than it brings.
READING = Kind(
    "studio-lane-reading",
    (
        b"SET statement_timeout = '%ds'" % PATIENCE,
        b"SET jit = off",
        b"SET max_parallel_workers_per_gather = 0",
        b"SET default_transaction_read_only = on",
    ),
)
_first = Lock()


@cache
def pool(kind: Kind) -> ConnectionPool[Connection[Row]]:
    return ConnectionPool(
        settings.DATABASE_URL,
        kwargs={"autocommit": True, "application_name": kind.name, "prepare_threshold": 0},
        min_size=1,
        max_size=_MOST,
        timeout=10,
        reconnect_timeout=2,
        reconnect_failed=database.tell_who_waits,
        configure=partial(_set, kind),
        check=partial(_refuse_closed, kind),
        open=True,
    )


class Reader(NamedTuple):
    """A connection that reads, for one question after the other."""

    wire: Connection[Row]

    def rows(
        self, statement: bytes, given: Mapping[str, Any] | Sequence[Any], *, again: bool = False
    ) -> list[Row]:
        """What it finds. `again`: it is the same text each time, so that its plan is kept.

        Raises psycopg.Error, QueryCanceled among it where it takes longer than PATIENCE.
        """
        return self.wire.execute(statement, given, prepare=again, binary=True).fetchall()

    def fetch(self, statement: Sql) -> list[Row]:
        """As `rows`, of a statement that is another one each time: it is planned for what is given."""
        return self.rows(statement.text.encode(), statement.given)


@contextmanager
def reader() -> Iterator[Reader]:
    """Raises psycopg.Error where none is to be had."""
    with _wire(READING) as wire:
        yield Reader(wire)


def run(statement: bytes, given: Mapping[str, Any]) -> Row | None:
    """Its first row, if it has any, committed. Deadlocks and lost races are tried again, since nothing of them was kept.

    Raises psycopg.Error: OperationalError where it is not certain whether it was done.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _wire(WRITING) as wire:
                found = wire.execute(statement, given)
                return found.fetchone() if found.description else None
        except _AGAIN:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def _wire(kind: Kind) -> AbstractContextManager[Connection[Row]]:
    with _first:  # of several first requests each would make a pool
        wires = pool(kind)
    return wires.connection()


def _set(kind: Kind, wire: Connection[Row]) -> None:
    for setting in kind.settings:
        wire.execute(setting)


def _refuse_closed(kind: Kind, wire: Connection[Row]) -> None:
    """Raises where PostgreSQL has closed an idle connection, at its restart say. Costs no word with it."""
    looks = select.poll()  # a web process has more descriptors than `select` can name
    looks.register(wire.fileno(), select.POLLIN)
    if looks.poll(0):
        # The pool has not heard of it and would keep it, and after each that is closed it pauses for longer.
        wire.close()
        pool(kind).drain()
        raise psycopg.OperationalError("the connection was closed while nobody used it")
