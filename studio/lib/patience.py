"""How long is waited for a client that sends slowly, and the end of it.

granian's `read` holds the thread that calls it until the bytes are there. The thread is noted meanwhile. A watch
answers in its place once that has taken too long, in a way that has granian close the connection: shorter than
the answer said it was. The read then ends as if the client had gone away.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from threading import Thread, get_ident
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

PIECE = 64 * 1024  # bytes
# Seconds for a piece, or for what is left of a body: nobody is waited for who sends less than 2 KB/s.
PATIENCE = 30.0
_ROUND = 5.0  # seconds between two looks
_DROPPED = float("-inf")

# Of each thread that waits: until when (time.monotonic). A list is one wait and no other.
_waiting: dict[int, list[float]] = {}


class TooSlow(ConnectionAbortedError):
    """The client has been cut off. Nobody sees an answer any more, nor does the server close one."""


def receive(source: Any, size: int) -> bytes:
    """Read `size` bytes from granian's `wsgi.input`, or what is left. Raises TooSlow when PATIENCE is over.

    Fewer also come when the client has gone away.
    """
    thread = get_ident()
    wait = _waiting[thread] = [time.monotonic() + PATIENCE]
    try:
        content: bytes = source.read(size)
    finally:
        del _waiting[thread]
    if wait[0] == _DROPPED:
        raise TooSlow("the client sent too slowly")
    return content


def keep_looking(also: Callable[[], int]) -> None:
    """Begin to end waits that take too long, from a thread. `also` is called as often, and returns how many it cut off."""
    Thread(target=_look, args=[also], name="patience", daemon=True).start()


def _look(also: Callable[[], int]) -> None:
    while True:
        time.sleep(_ROUND)
        try:
            senders, readers = end_waits(), also()
        except Exception:
            log.exception("cannot look for slow clients")
            continue
        if senders or readers:
            log.warning("slow clients cut off: sending=%d reading=%d", senders, readers)


def end_waits() -> int:
    """End every wait that has taken too long. Returns how many."""
    now = time.monotonic()
    late = [(thread, wait) for thread, wait in list(_waiting.items()) if wait[0] < now]
    return sum(_end(thread, wait) for thread, wait in late)


def _end(thread: int, wait: list[float]) -> bool:
    protocol = _protocol(sys._current_frames().get(thread))
    # Asked after the protocol has been found: the thread was in this wait all the while, so it is this request's.
    if protocol is None or _waiting.get(thread) is not wait:
        return False
    wait[0] = _DROPPED
    protocol.response_iter(408, [("Content-Length", "1")], iter(()))
    return True


def _protocol(frame: FrameType | None) -> Any:
    """granian's own end of the request that a thread works on. It gives the program no other way to it."""
    while frame is not None:
        if frame.f_code.co_name == "_runner" and frame.f_globals["__name__"] == "granian.wsgi":
            return frame.f_locals["proto"]
        frame = frame.f_back
    return None
