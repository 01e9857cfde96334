"""`manage.py up`: from nothing to a Studio that answers, and back to nothing."""

from __future__ import annotations

import fcntl
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

import httpx
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from endpoints.agent import record as replicas
from studio.launch import beats, before, programs
from studio.launch.log import Log
from studio.launch.ports import require_free_port
from studio.launch.postgres import EmbeddedPostgres
from studio.launch.redis import EmbeddedRedis
from studio.launch.supervisor import Supervisor
from studio.launch.sweep import sweep

_STORES_PATIENCE, _SERVICES_PATIENCE = 30.0, 120.0  # seconds
_LOOK_AGAIN = 5.0  # seconds


class Interrupted(Exception):
    """Somebody asked for the end before Studio was ready."""


def up(log: Log) -> None:
    """Run until SIGTERM or SIGINT. Raises ImproperlyConfigured, with one line, when it cannot start."""
    stop = Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    before.refuse_what_cannot_work()
    settings.HOME.require_whole()
    with _only_one():
        sweep(settings.HOME.processes, log)
        require_free_port("STUDIO_PORT", settings.PORT)
        require_free_port("STUDIO_SCORING_PORT", settings.SCORING_PORT)
        supervisor = Supervisor(log, settings.HOME.processes)
        try:
            _start(supervisor, stop)
            log.write("up", f"Studio is ready at {settings.PUBLIC_URL}")
            _keep_up(supervisor, stop)
        except Interrupted:
            pass
        finally:
            log.write("up", "stopping")
            supervisor.ending.set()
            supervisor.end({program.name for program in programs.services()}, 6)
            replicas.end_all(1)  # whatever the agent, which may have been dead, has not ended
            _end_stores(supervisor)
            settings.HOME.processes.unlink(missing_ok=True)
            shutil.rmtree(settings.HOME.sockets, ignore_errors=True)
    log.write("up", "stopped")


def _keep_up(supervisor: Supervisor, stop: Event) -> None:
    beats.begin(supervisor)
    while not stop.wait(_LOOK_AGAIN):
        supervisor.write_what_was_not_told()


def _end_stores(supervisor: Supervisor) -> None:
    beats.end()
    supervisor.end({program.name for program in programs.stores()}, 3)


def _start(supervisor: Supervisor, stop: Event) -> None:
    if settings.POSTGRES_EMBEDDED:
        EmbeddedPostgres(settings.HOME).initialise()
    for program in programs.stores():
        supervisor.start(program)
    if settings.POSTGRES_EMBEDDED:
        postgres = EmbeddedPostgres(settings.HOME)
        _wait(postgres.ready, stop, _STORES_PATIENCE, "PostgreSQL")
        postgres.make_database()
    if settings.REDIS_EMBEDDED:
        _wait(EmbeddedRedis(settings.HOME).ready, stop, _STORES_PATIENCE, "Redis")
    _prepare(supervisor)
    if stop.is_set():
        raise Interrupted
    for program in programs.services():
        supervisor.start(program)
    _wait(_well, stop, _SERVICES_PATIENCE, "Studio")


def _prepare(supervisor: Supervisor) -> None:
    """Tables, first administrator, static files: in a process of its own, since it needs much memory once."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "prepare", "--whole"]
    with subprocess.Popen(
        command,
        env=programs.child_environment(supervisor.mark),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            supervisor.log.write("prepare", line)
            last = line.strip() or last
    if process.returncode:
        refused = last.removeprefix("CommandError: ")
        raise ImproperlyConfigured(
            refused if refused != last else f"Studio could not prepare its database: {last}"
        )


def _wait(ready: Callable[[], bool], stop: Event, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if stop.wait(0.1):
            raise Interrupted
        if time.monotonic() > deadline:
            raise ImproperlyConfigured(
                f"{what} was not ready after {seconds:.0f} s: the lines above say why"
            )


def _well() -> bool:
    url = f"http://{settings.WEB_ADDRESS}/healthz"
    try:  # past any proxy that the environment names: it is this machine that is asked
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def _only_one() -> Iterator[None]:
    with settings.HOME.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImproperlyConfigured(
                f"Studio is already running from {settings.HOME.root}: stop it, or set STUDIO_HOME to another folder"
            ) from None
        yield
