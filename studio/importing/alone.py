"""One import at a time into one database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from studio.lib.errors import Conflict

# Any number that nothing else in this database locks.
_LOCK = 4_711_303_175
# PostgreSQL ends a killed import's statement before it notices that nobody listens.
_PATIENCE = 60


@contextmanager
def alone() -> Iterator[None]:
    """Raises Conflict where another import runs for longer than a killed one needs to be noticed."""
    deadline = time.monotonic() + _PATIENCE
    while not _taken():
        if time.monotonic() > deadline:
            raise Conflict("Another import into this Studio is running. Wait for it to end.")
        time.sleep(0.5)
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _taken() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])
