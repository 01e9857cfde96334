"""Keeps the routing table as new as the database lets it."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

import psycopg
from psycopg import sql

from endpoints.gateway.routes import SQL, Table, table_from
from studio.lib.notify import ROUTES

log = logging.getLogger(__name__)

REREAD = 5.0  # seconds; makes good a notification that was lost
GATHER = 0.02  # seconds in which a burst of notifications becomes one reading
PATIENCE = 10.0  # seconds for one reading
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0  # seconds between attempts to reach the database


class LiveTable:
    """The newest routing table that could be read. Without the database it stays what it was."""

    def __init__(self, conninfo: str) -> None:
        self.current: Table | None = None
        self.connected = False
        self._conninfo = conninfo
        self._read_at = 0.0
        self._pause = FIRST_PAUSE
        self._told = False

    @property
    def age(self) -> float:
        """Seconds since it was read."""
        return monotonic() - self._read_at

    async def keep_fresh(self) -> None:
        """Read, and read again whenever something changes, until cancelled. A database that is away is waited for."""
        while True:
            try:
                await self._follow()
            except (psycopg.Error, OSError) as failure:  # OSError: also a timeout
                self._lost(failure)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _follow(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=None,  # a prepared statement would outlive the columns it was made for
            connect_timeout=5,
            application_name="studio-gateway",
        )
        try:
            # First listen, then read: what changes in between is read again.
            async with asyncio.timeout(PATIENCE):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(ROUTES)))
            while True:
                await self._read(connection)
                await _changed(connection)
        finally:
            self.connected = False
            await connection.close()

    async def _read(self, connection: psycopg.AsyncConnection) -> None:
        async with asyncio.timeout(PATIENCE):
            cursor = await connection.execute(SQL)
            row = await cursor.fetchone()
        assert row is not None  # it is an aggregate
        self.current = table_from(row[0])
        self._read_at = monotonic()
        self.connected = True
        self._pause = FIRST_PAUSE
        if self._told:
            log.info("database=back endpoints=%d", len(self.current.routes))
            self._told = False

    def _lost(self, failure: Exception) -> None:
        """Say it once: nobody needs a line for each attempt."""
        if not self._told:
            kept = "none" if self.current is None else f"{self.age:.0f}s-old"
            reason = (str(failure) or type(failure).__name__).splitlines()[0]
            log.warning("database=lost routes=%s reason=%s", kept, reason)
            self._told = True


async def _changed(connection: psycopg.AsyncConnection) -> None:
    """Wait for notifications, at most until it is time to read anyway."""
    told = 0
    async for _ in connection.notifies(timeout=REREAD, stop_after=1):
        told += 1  # one packet may hold many
    if told:
        await asyncio.sleep(GATHER)
