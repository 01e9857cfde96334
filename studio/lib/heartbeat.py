"""Signs of life. Each process of Studio tells every few seconds that it is here and what it holds.

A thread with a connection of its own writes it to the tables of studio.health, past Django: it must go on where the
process is busy, and must hold up nothing where the database is away or hangs. With it go the errors that were logged,
of web how long requests took, and whatever else an app wants written by the way.

The worker's other sign of life is a key in Redis that lives 15 s: it tells that the worker still hears the broker.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from multiprocessing.util import Finalize
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg
from django.conf import settings

from studio.lib import logs
from studio.lib.memory import descendants, memory_of

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds
_MEASURE = 3  # beats from one look at the memory to the next
_TOLD = 12  # beats after which one that was never heard is told of
_GOODBYE = 1.0  # seconds for it
KEPT = 200  # errors; studio.health.models.Failure.KEPT says the same

_KEY = "studio:worker-seen"
_SECONDS = 15

_BEGIN = """
INSERT INTO health_process (name, host, pid, run, version, started_at, seen_at, memory)
VALUES (%s, %s, %s, %s, %s, now() - make_interval(secs => %s), now(), %s) RETURNING id
"""
_BEAT = "UPDATE health_process SET seen_at = now(), memory = %s WHERE id = %s"
_ALL_GONE = "DELETE FROM health_process WHERE run = %s"
_FAILED = """
INSERT INTO health_failure (at, process, host, route, kind, message, request_id)
VALUES (to_timestamp(%s), %s, %s, %s, %s, %s, %s)
"""
_TRIM = "DELETE FROM health_failure WHERE id <= (SELECT max(id) - %s FROM health_failure)"
_WINDOW = """
INSERT INTO health_window (process, at, routes) VALUES (%s, to_timestamp(%s), %s)
ON CONFLICT (process, at) DO UPDATE SET routes = excluded.routes
"""
# A network that swallows packets must not hold the thread for ever, and nobody needs these rows fsynced.
_CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
    "application_name": "studio-heartbeat",
    "prepare_threshold": None,
}


Wire = psycopg.Connection[tuple[Any, ...]]
# Writes what an app has gathered since the last beat. Where it raises, the app keeps that for the next one.
News = Callable[[Wire], None]


class Windows(Protocol):
    """How long requests took, by the second in which a window began."""

    def news(self) -> dict[int, dict[str, list[float]]]: ...

    def told(self, news: Iterable[int]) -> None: ...


class Subject(NamedTuple):
    """A process that is told of."""

    name: str
    pid: int


class Heartbeat:
    """`others`: processes that cannot speak for themselves. `mark`: of the `up` that this one belongs to.

    `news` are asked at each beat, and once more at the end.
    """

    def __init__(
        self,
        name: str,
        windows: Windows | None = None,
        others: Callable[[], list[Subject]] = list,
        *,
        own_row: bool = True,
        mark: str = "",
        news: Sequence[News] = (),
    ) -> None:
        self.name = name
        self.run_of = _digest(mark or os.environ.get("STUDIO_UP_MARK", ""))
        self.host = socket.gethostname()
        self.ending = Event()
        self._windows = windows
        self._others = others
        self._news = news
        self._own_row = own_row
        self._began = {os.getpid(): monotonic()}
        self._rows: dict[Subject, int] = {}
        self._memory: dict[Subject, int] = {}
        self._beats = 0
        self._connection: Wire | None = None
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Heartbeat:
        self._thread.start()
        # As atexit, and at the end of granian's workers too: they are forks of multiprocessing's, which knows no atexit.
        Finalize(None, self.stop, exitpriority=1)
        return self

    def stop(self) -> None:
        """Say goodbye: who ends as he should leaves no row. A database that hangs is not waited for."""
        self.ending.set()
        if self._thread.is_alive():
            self._thread.join(_GOODBYE)

    def _run(self) -> None:
        silent = True  # the tables may not be there yet
        while True:
            try:
                self._beat()
                silent = False
            except Exception as failure:  # noqa: BLE001 - whatever it is, the next beat comes
                self._drop()
                if not silent or self._beats == _TOLD:
                    told = (str(failure) or type(failure).__name__).splitlines()[0]
                    log.warning("heartbeat=lost reason=%s", told)
                silent = True
            if self.ending.wait(EVERY):
                self._leave()
                return

    def _beat(self) -> None:
        self._beats += 1
        subjects = ([Subject(self.name, os.getpid())] if self._own_row else []) + self._others()
        if not subjects and not logs.failures:
            return
        wire = self._wire()
        for subject in subjects:
            self._tell_of(wire, subject)
        for gone in self._rows.keys() - set(subjects):
            wire.execute("DELETE FROM health_process WHERE id = %s", [self._rows.pop(gone)])
        self._tell_of_failures(wire)
        self._tell_of_windows(wire)
        self._tell_news(wire)
        if not self._own_row:  # it has something to say once in a long time
            self._drop()

    def _tell_of(self, wire: Wire, subject: Subject) -> None:
        if subject not in self._memory or self._beats % _MEASURE == 0:
            self._memory[subject] = _held(subject)
        memory = self._memory[subject]
        known = self._rows.get(subject)
        if known is not None and wire.execute(_BEAT, [memory, known]).rowcount:
            return
        age = monotonic() - self._began.setdefault(subject.pid, monotonic())
        given = [subject.name, self.host, subject.pid, self.run_of, settings.VERSION, age, memory]
        row = wire.execute(_BEGIN, given).fetchone()
        assert row is not None  # RETURNING
        self._rows[subject] = row[0]

    def _tell_of_failures(self, wire: Wire) -> None:
        """One leaves the memory only once it is told."""
        told = 0
        while logs.failures:
            one = logs.failures[0]
            given = [one.at, one.process, self.host, one.route, one.kind, one.message]
            wire.execute(_FAILED, [_text(value) for value in [*given, one.request_id]])
            if logs.failures and logs.failures[0] is one:  # else it made room for another
                logs.failures.popleft()
            told += 1
        if told:
            wire.execute(_TRIM, [KEPT])

    def _tell_of_windows(self, wire: Wire) -> None:
        if self._windows is None or not self._rows:
            return
        [mine] = [pk for subject, pk in self._rows.items() if subject.name == self.name]
        news = self._windows.news()
        for at, routes in news.items():
            wire.execute(_WINDOW, [mine, at, json.dumps(routes)])
        self._windows.told(news)

    def _tell_news(self, wire: Wire) -> None:
        for news in self._news:
            news(wire)

    def _wire(self) -> Wire:
        if self._connection is None:
            self._connection = psycopg.connect(settings.DATABASE_URL, **_CONNECTION)
            self._connection.execute("SET synchronous_commit = off; SET statement_timeout = '5s'")
        return self._connection

    def _leave(self) -> None:
        try:
            if self._connection is not None:
                self._tell_of_failures(self._connection)
                self._tell_news(self._connection)
                for pk in self._rows.values():
                    self._connection.execute("DELETE FROM health_process WHERE id = %s", [pk])
                if self.name == "up":  # of who was killed and could say nothing
                    self._connection.execute(_ALL_GONE, [self.run_of])
        except Exception:  # noqa: BLE001 - then the row grows old
            log.debug("no goodbye", exc_info=True)
        finally:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def start(
    name: str,
    windows: Windows | None = None,
    others: Callable[[], list[Subject]] = list,
    *,
    own_row: bool = True,
    news: Sequence[News] = (),
) -> Heartbeat:
    """Tell of this process from now on. Returns at once, and raises nothing later."""
    logs.name_process(name)
    if settings.LOG_FORMAT == "json":
        logs.take_all()
    return Heartbeat(name, windows, others, own_row=own_row, news=news).start()


def _digest(mark: str) -> str:
    """The `up` that a process belongs to, by the mark that all of its processes bear."""
    return hashlib.sha256(mark.encode()).hexdigest()[:16] if mark else ""


def _held(subject: Subject) -> int:
    """The agent's children are replicas, which are told of elsewhere; `up` has all the others."""
    family = [] if subject.name in ("agent", "up") else descendants(subject.pid)
    return sum(map(memory_of, [subject.pid, *family]))


def _text(value: Any) -> Any:
    """What PostgreSQL takes as text: one error that it refused would hold up all behind it."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode(errors="replace").decode()


@cache
def _client() -> redis.Redis:
    import redis  # of no use to the gateway, which has little memory

    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=3)


def worker_is_here() -> None:
    _client().set(_KEY, "1", ex=_SECONDS)


def worker_seen_recently() -> bool:
    """Raises redis.RedisError when Redis does not answer."""
    return bool(_client().exists(_KEY))
