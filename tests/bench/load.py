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
_HEARD = 256 * 1024  # bytes that are taken at once, where the length of an answer is not known yet
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
    address: Address,
    beginnings: Sequence[Callable[[], Conversation]],
    seconds: float,
    at_least: int = 0,
) -> Tally:
    """Hold one conversation after the other, on a connection for each beginning, for that long.

    It takes longer where there have not been `at_least` so many by then. Those that are under way at the end are
    finished and count. Raises RuntimeError for any answer but 200, and where the load itself has taken so much of
    a processor that it would be what is measured.
    """
    lines = [_Line(address, begin) for begin in beginnings]
    with _no_collector():
        began, own = time.perf_counter(), time.process_time()
        done = _converse(lines, began + seconds, at_least)
        took, own = time.perf_counter() - began, time.process_time() - own
    for line in lines:
        line.socket.close()
    if own > _MOST * took:
        raise RuntimeError(f"the load took {own / took:.0%} of a core")
    return Tally(done, took)


def _converse(lines: Sequence[_Line], end: float, at_least: int) -> int:
    """On all lines, beginning none after the end if there were enough. How many conversations there were."""
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
                    if time.perf_counter() < end or done < at_least:
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
        self._answers = Answers(self.socket)
        self._talk: Conversation

    def start(self) -> None:
        self._talk = self._begin()
        self.socket.sendall(next(self._talk))

    def hear(self) -> bool:
        """Take what has come, and say the next thing. True: the conversation has ended."""
        body = self._answers.take()
        if body is None:
            return False
        try:
            self.socket.sendall(self._talk.send(body))
        except StopIteration:
            return True
        return False


class Answers:
    """The answers that come on a connection, one after the other. Megabytes are copied once."""

    def __init__(self, line: socket.socket) -> None:
        self._line, self._heard, self._many = line, bytearray(_HEARD), 0
        self._body = self._end = 0  # its places in what is heard; 0: the head has not all come

    def take(self) -> bytes | None:
        """Take what has come: an answer's body, if that is all. Raises RuntimeError for any answer but 200."""
        with memoryview(self._heard) as room:
            came = self._line.recv_into(room[self._many :])
        if not came:
            told = bytes(self._heard[: min(self._many, 500)])
            raise RuntimeError(f"the connection was closed after {told!r}")
        self._many += came
        if not self._end:
            self._read_head()
        if not self._end or self._many < self._end:
            return None
        with memoryview(self._heard) as all_of_it:
            body = bytes(all_of_it[self._body : self._end])
        self._many = self._end = 0
        return body

    def _read_head(self) -> None:
        """Find the end of an answer with its length told, and make room for it."""
        head = self._heard.find(b"\r\n\r\n", 0, self._many)
        if head < 0:
            return
        told = _LENGTH.search(self._heard, 0, head)
        if not told or not self._heard.startswith(b"HTTP/1.1 200"):
            answer = bytes(self._heard[: min(self._many, 1000)])
            raise RuntimeError(f"answered {answer.decode(errors='replace')}")
        self._body = head + 4
        self._end = self._body + int(told[1])
        self._heard.extend(bytes(max(0, self._end - len(self._heard))))


@contextmanager
def _no_collector() -> Iterator[None]:
    """A collection of garbage in mid-measurement would count for the side that is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
