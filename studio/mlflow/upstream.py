"""The connection to MLflow's own server: one pool of Unix socket connections per process.

MLflow may take minutes over an answer, and a server that is stopped or stuck takes for ever. They are told
apart by a sign of life (studio.mlflow.edge): who has waited for a second without a byte asks for one.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any, TypeVar

import httpcore
import httpx
from django.conf import settings
from django.db import connection
from httpcore._backends.sync import SyncStream

from studio.lib import request_ids
from studio.lib.errors import Unavailable
from studio.mlflow.edge import PULSE

_Done = TypeVar("_Done")

# Reading waits long: MLflow may search a large database, or receive a model of gigabytes.
_TIMEOUT = httpx.Timeout(600, connect=5, pool=30)
_SLICE = 1.0  # seconds without a byte after which a sign of life is asked for, and how long one is believed
_PATIENCE = 4.0  # seconds that a sign of life may take
# Requests at a time that a web process gives to MLflow: the other places are for Studio's own pages.
MOST = 24
_STOPPED = (
    "MLflow's server is not answering. Studio restarts it when it has ended: "
    "try again in a few seconds."
)
_SLOW = "MLflow's server takes too long to answer. Try again in a moment, or ask it for less."
_BUSY = "MLflow's server is working on as many requests as Studio gives it. Try again in a moment."

_slots = BoundedSemaphore(MOST)


class Pulse:
    """Whether the server behind a Unix socket lives. Asked once for all who want to know at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._asked = float("-inf")
        self._alive = True

    def beats(self) -> bool:
        """Ask, unless that was done a moment ago."""
        with self._lock:
            return self._look(_PATIENCE)

    def seems_dead(self) -> bool:
        """Whether the last sign of life failed to come, and does not come now either.

        Of many who ask at the same time one waits for an answer, the others are told at once.
        """
        if self._alive:
            return False
        if not self._lock.acquire(blocking=False):
            return True
        try:
            return not self._look(_SLICE)
        finally:
            self._lock.release()

    def _look(self, patience: float) -> bool:
        if monotonic() - self._asked > _SLICE:
            self._alive = self._answers(patience)
            self._asked = monotonic()
        return self._alive

    def _answers(self, patience: float) -> bool:
        request = f"GET {PULSE} HTTP/1.1\r\nHost: mlflow\r\nConnection: close\r\n\r\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
                wire.settimeout(patience)
                wire.connect(str(self._path))
                wire.sendall(request.encode())
                return wire.recv(1) != b""
        except OSError:
            return False


class _Patient(httpcore.NetworkStream):
    """A connection on which is waited as long as the server lives."""

    def __init__(self, stream: httpcore.NetworkStream, pulse: Pulse) -> None:
        self._stream = stream
        self._pulse = pulse
        self._socket: socket.socket = stream.get_extra_info("socket")
        self._socket.settimeout(_SLICE)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        def receive() -> bytes:
            return self._socket.recv(max_bytes)

        return self._waiting(receive, timeout, httpcore.ReadTimeout, httpcore.ReadError)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = memoryview(buffer)

        def send() -> int:
            return self._socket.send(left)

        while left:
            sent = self._waiting(send, timeout, httpcore.WriteTimeout, httpcore.WriteError)
            left = left[sent:]

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _waiting(
        self,
        attempt: Callable[[], _Done],
        timeout: float | None,
        late: type[Exception],
        broken: type[Exception],
    ) -> _Done:
        until = monotonic() + (timeout if timeout is not None else float("inf"))
        while True:
            try:
                return attempt()
            except TimeoutError as silence:
                if monotonic() >= until:
                    raise late(str(silence)) from silence
                if not self._pulse.beats():
                    raise broken("no sign of life") from silence
            except OSError as failure:
                raise broken(str(failure)) from failure


class _Backend(httpcore.SyncBackend):
    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        """As httpcore's own, which leaves a socket that found nobody to the garbage collector."""
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            wire.settimeout(timeout)
            wire.connect(path)
        except OSError as failure:
            wire.close()
            late = isinstance(failure, TimeoutError)
            raise (httpcore.ConnectTimeout if late else httpcore.ConnectError)(
                str(failure)
            ) from failure
        return _Patient(SyncStream(wire), self._pulse)


class _Held(httpx.SyncByteStream):
    """An answer's body, which gives something back when it is closed."""

    def __init__(self, stream: httpx.SyncByteStream, done: Callable[[], object]) -> None:
        self._stream = stream
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._done()


@cache
def pulse() -> Pulse:
    return Pulse(settings.HOME.reference_socket)


@cache
def client() -> httpx.Client:
    transport = httpx.HTTPTransport()
    # httpx leaves no other way to say how a connection is waited on.
    transport._pool = httpcore.ConnectionPool(
        uds=str(settings.HOME.reference_socket),
        max_connections=MOST + 16,
        max_keepalive_connections=32,
        keepalive_expiry=30,  # less than the server's own: who closes first must be who asks
        network_backend=_Backend(pulse()),
    )
    # What MLflow would set as a cookie for one user must not be sent for the next.
    none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.Client(
        transport=transport,
        timeout=_TIMEOUT,
        base_url="http://mlflow",
        cookies=none,
        event_hooks={"request": [_name_request]},
    )


def _name_request(request: httpx.Request) -> None:
    """MLflow's server logs it by the id that it has here."""
    if known := request_ids.current():
        request.headers[request_ids.HEADER] = known


# Told of each call: the status, None where no answer came, and the seconds until it began.
watchers: list[Callable[[int | None, float], None]] = []


def _sent(request: httpx.Request) -> httpx.Response:
    began, status = monotonic(), None
    try:
        answer = client().send(request, stream=True)
        status = answer.status_code
        return answer
    finally:
        for watcher in watchers:
            watcher(status, monotonic() - began)


def send(request: httpx.Request) -> httpx.Response:
    """Send, and return as soon as the answer's headers are there. Raises Unavailable when none come.

    The caller closes the answer.
    """
    if pulse().seems_dead():
        raise Unavailable(_STOPPED)
    if not _slots.acquire(blocking=False):
        raise Unavailable(_BUSY)
    if not connection.in_atomic_block:
        connection.close()  # back to the pool, while nobody knows how long MLflow takes
    try:
        answer = _sent(request)
    except httpx.ConnectTimeout as failure:
        _slots.release()
        raise Unavailable(_STOPPED) from failure
    except httpx.TimeoutException as failure:
        _slots.release()
        raise Unavailable(_SLOW) from failure
    except (httpx.NetworkError, httpx.RemoteProtocolError) as failure:
        _slots.release()
        raise Unavailable(_STOPPED) from failure
    except BaseException:
        _slots.release()
        raise
    assert isinstance(answer.stream, httpx.SyncByteStream)
    # Also when the answer is thrown away unread: a slot that is lost once is lost for good.
    answer.stream = _Held(answer.stream, weakref.finalize(answer, _slots.release))
    return answer
