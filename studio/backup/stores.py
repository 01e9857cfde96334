"""The home and the database of a backup or restore: whether Studio runs, and the embedded PostgreSQL while it does not."""

from __future__ import annotations

import fcntl
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from studio.backup.failure import BackupFailed
from studio.backup.telling import Say
from studio.launch import programs
from studio.launch.log import Log
from studio.launch.postgres import EmbeddedPostgres
from studio.launch.supervisor import Supervisor
from studio.launch.sweep import sweep

_PATIENCE = 60.0  # seconds until PostgreSQL is ready
_END = 20.0  # and until it has ended


@contextmanager
def stopped_studio() -> Iterator[None]:
    """This home is nobody else's while the block lasts. Raises BackupFailed where Studio runs from it."""
    with _lock() as ours:
        if not ours:
            raise BackupFailed(
                f"Studio is running from {settings.HOME.root}, or another restore is. Stop it first."
            )
        sweep(settings.HOME.processes, _quiet())
        yield


@contextmanager
def running_database(say: Say) -> Iterator[None]:
    """A database to back up: the one of the Studio that runs, one's own, or the embedded one started for this."""
    if not settings.POSTGRES_EMBEDDED:
        yield
        return
    if not (settings.HOME.postgres / "PG_VERSION").exists():
        raise BackupFailed(
            f"There is no Studio at STUDIO_HOME={settings.HOME.root}: no database is there. "
            "Where it runs with a STUDIO_HOME of its own, export the same one here."
        )
    with _lock() as ours:
        if not ours:
            yield
            return
        settings.HOME.require_whole()
        sweep(settings.HOME.processes, _quiet())
        say("Studio is not running: its database is started for the time of this")
        with embedded():
            yield


@contextmanager
def embedded() -> Iterator[None]:
    """The embedded PostgreSQL, made if there is none. Who calls holds the home."""
    postgres = EmbeddedPostgres(settings.HOME)
    postgres.initialise()
    log = _quiet()
    supervisor = Supervisor(log, settings.HOME.processes)
    try:
        for program in programs.stores():
            if program.name == "postgres":
                supervisor.start(program)
        _wait(postgres, log)
        postgres.make_database()
        yield
    finally:
        supervisor.ending.set()
        supervisor.end({"postgres"}, _END)
        settings.HOME.processes.unlink(missing_ok=True)
        shutil.rmtree(settings.HOME.sockets, ignore_errors=True)


def _wait(postgres: EmbeddedPostgres, log: Log) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not postgres.ready():
        if time.monotonic() > deadline:
            assert isinstance(log.stream, io.StringIO)
            raise BackupFailed(
                f"PostgreSQL was not ready after {_PATIENCE:.0f} s. It said: {log.stream.getvalue()[-2000:]}"
            )
        time.sleep(0.1)


@contextmanager
def _lock() -> Iterator[bool]:
    """Whether the home's lock, which `up` holds, could be had. It is held for the time of the block."""
    settings.HOME.make()
    with settings.HOME.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _quiet() -> Log:
    return Log("text", io.StringIO())
