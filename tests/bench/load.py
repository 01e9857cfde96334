"""A closed-loop load that costs less than what it measures: one thread, sockets that are kept, bodies made before.

A *conversation* is one unit of work on one connection: it yields requests and is given each answer's body.
"""

from __future__ import annotations

import gc
import re
import selectors
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Conversation = Generator[bytes, bytes, None]
Address = tuple[str, int]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ROOM = (
    512 * 1024
)  # bytes that may be on their way: a large body leaves without waiting for its reader
_MOST = 0.3  # of a core
_PATIENCE = 60.0  # seconds for one answer


@dataclass(frozen=True, slots=True)
class Tally:
    """Conversations that ended, and the time they took."""

    done: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.done / self.seconds


def drive(
    address: Address, beginnings: Sequence[Callable[[], Conversation]], seconds: float
) -> Tally:
    """Hold one conversation after the other, on a connection for each beginning, for that long.

    Those that are under way at the end are finished and count. Raises RuntimeError for any answer but 200, and
    where the load itself has taken so much of a processor that it would be what is measured.
    """
    lines = [_Line(address, begin) for begin in beginnings]
    with _no_collector():
        began, own = time.perf_counter(), time.process_time()
        done = _converse(lines, began + seconds)
        took, own = time.perf_counter() - began, time.process_time() - own
    for line in lines:
        line.socket.close()
    if own > _MOST * took:
        raise RuntimeError(f"the load took {own / took:.0%} of a core")
    return Tally(done, took)


def _converse(lines: Sequence[_Line], end: float) -> int:
    """On all lines, beginning none after the end. How many conversations there were."""
    done, busy = 0, len(lines)
    with selectors.DefaultSelector() as selector:
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.start()
        while busy:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise RuntimeError(f"no answer came for {_PATIENCE:.0f} s")
            for key, _ in ready:
                if key.data.hear():
                    done += 1
                    if time.perf_counter() < end:
                        key.data.start()
                    else:
                        busy -= 1
    return done


class _Line:
    """A connection and the conversation on it."""

    def __init__(self, address: Address, begin: Callable[[], Conversation]) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(address)
        self._begin = begin
        self._heard = b""
        self._talk: Conversation

    def start(self) -> None:
        self._talk = self._begin()
        self.socket.sendall(next(self._talk))

    def hear(self) -> bool:
        """Take what has come, and say the next thing. True: the conversation has ended."""
        came = self.socket.recv(65536)
        if not came:
            raise RuntimeError(f"the connection was closed after {self._heard[:500]!r}")
        self._heard += came
        body = body_of(self._heard)
        if body is None:
            return False
        self._heard = b""
        try:
            self.socket.sendall(self._talk.send(body))
        except StopIteration:
            return True
        return False


def body_of(answer: bytes) -> bytes | None:
    """The body of an answer with its length told. None: it has not all come. Raises RuntimeError for any but 200."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return None
    told = _LENGTH.search(answer, 0, head)
    if not told or not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"answered {answer[:1000].decode(errors='replace')}")
    body = answer[head + 4 :]
    return body if len(body) >= int(told[1]) else None


@contextmanager
def _no_collector() -> Iterator[None]:
    """A collection of garbage in mid-measurement would count for the side that is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
