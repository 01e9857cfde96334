"""The bodies of requests as granian hands them over: whole or not at all, and nobody waits for them in vain.

granian calls the program once the headers are there. Its `read(n)` waits for n bytes or the end of what comes,
and tells neither a body that broke off from one that ended nor an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from io import BufferedReader, BytesIO, RawIOBase
from queue import SimpleQueue
from typing import Any

from django.db import connection
from django.http.response import HttpResponseBase

from studio.lib.connections import all_there
from studio.lib.errors import TooLarge, Unavailable
from studio.lib.patience import PIECE, TooSlow, receive

# Bytes. What MLflow holds in memory as a whole: JSON, traces. Files go to the artifact routes, which stream.
LARGEST = 64 * 1024 * 1024
# Seconds for which a body that nobody wants is read on: who is still sending may not see the answer.
_LINGER = 2.0
_BODY = "studio.body"


class Places:
    """So many requests are worked on at the same time. Who has to wait for a client gives his place back meanwhile.

    A queue costs a tenth of what `threading.Semaphore` does.
    """

    def __init__(self, number: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._free.put(None)

    @property
    def free(self) -> int:
        return self._free.qsize()

    def take(self) -> None:
        self._free.get()

    def give_back(self) -> None:
        self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, *failure: object) -> None:
        self._free.put(None)


PLACES = Places(32)  # of each web process


class Body(RawIOBase):
    """A long body: what has been read of it, and the rest from the server.

    Whoever reads has a place, which is given back meanwhile, and so is his connection to the database. Reading
    raises TooSlow, a ConnectionAbortedError; a client that has gone away reads as an end.
    """

    def __init__(self, first: bytes, source: Any) -> None:
        self._kept = first
        self._source = source
        self._begun = bool(first)
        self._ended = False
        self.cut_off = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._kept and not self._ended:
            if not connection.in_atomic_block:
                connection.close()
            PLACES.give_back()
            try:
                self._kept = self._receive()
            finally:
                PLACES.take()
        piece, self._kept = self._kept[: len(buffer)], self._kept[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def discard(self) -> None:
        """Read on for a while, for nobody. A client that waits to be asked for its body is not asked."""
        until = time.monotonic() + _LINGER
        while self._begun and not self._ended and time.monotonic() < until:
            self._receive()

    def _receive(self) -> bytes:
        self._begun = True
        try:
            piece = receive(self._source, PIECE)
        except TooSlow:
            self._ended = self.cut_off = True
            raise
        self._ended = not piece
        return piece


def begin(environ: dict[str, Any]) -> None:
    """Read the first piece of a request's body, which mostly is all of it, before anything else is done for it.

    Raises as `read_body` does. A client that asks first whether it may send a long body is not answered here.
    """
    length = length_of(environ)
    if length == 0:
        return
    source, first = environ["wsgi.input"], b""
    wanted = PIECE if length is None else min(length, PIECE)
    if wanted < PIECE or "HTTP_EXPECT" not in environ:
        first = receive(source, wanted)
        if len(first) < wanted:
            if length is not None:
                raise gone()
            _check_that_all_came(environ)
            replace(environ, first)
            return
    if len(first) == length:
        environ["wsgi.input"] = BytesIO(first)
    else:
        environ[_BODY] = body = Body(first, source)
        environ["wsgi.input"] = BufferedReader(body, PIECE)


def finish(environ: dict[str, Any], answer: Iterable[bytes]) -> Iterable[bytes]:
    """The answer to a request that has been worked on, once what is left of a body has been read for a while.

    The server closes a connection whose request it could not read to its end, an upload that was refused say:
    the client, who may have sent its next request on it by then, would see it fail.
    """
    body = environ.get(_BODY)
    if not isinstance(body, Body):
        return answer
    try:
        if not body.cut_off:
            connection.close()
            body.discard()
    except TooSlow:
        pass
    if not body.cut_off:
        return answer
    if isinstance(answer, HttpResponseBase):
        answer.close()  # the server has been given an answer already, and does nothing with this one
    return []


def read_body(environ: dict[str, Any], most: int) -> bytes:
    """Return the whole body of a request, `most` bytes at most; nothing where there is none. Once a request.

    Raises TooLarge, before it reads on where the length is told; ConnectionAbortedError when the client has gone
    away or was too slow; Unavailable when it is not certain that everything has come.
    """
    length = length_of(environ)
    if length is not None and length <= most:
        body: bytes = environ["wsgi.input"].read(length) if length else b""
        if len(body) < length:
            raise gone()
        return body
    return b"".join(pieces(environ, most))


def pieces(environ: dict[str, Any], most: int | None) -> Iterator[bytes]:
    """Yield the body as it comes. Raises as `read_body` does."""
    length = length_of(environ)
    if most is not None and length is not None and length > most:
        raise too_large(most)
    read = 0
    while length is None or read < length:
        wanted = PIECE if length is None else min(PIECE, length - read)
        piece: bytes = environ["wsgi.input"].read(wanted)
        if not piece:
            break
        read += len(piece)
        if most is not None and read > most:
            raise too_large(most)
        yield piece
    if length is None:
        _check_that_all_came(environ)
    elif read < length:
        raise gone()


def replace(environ: dict[str, Any], content: bytes) -> None:
    """Put a body that has been read back, so that the next one finds it whole."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["wsgi.input"] = BytesIO(content)
    environ["CONTENT_LENGTH"] = str(len(content))


def length_of(environ: dict[str, Any]) -> int | None:
    """A body's length in bytes; None where only its end tells."""
    told: str = environ.get("CONTENT_LENGTH") or ""
    if told.isdecimal():
        return int(told)
    return None if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() else 0


def too_large(most: int) -> TooLarge:
    """What a client is told whose body is longer than `most` bytes."""
    told = f"This is more than the {most >> 20} MiB that one request may hold. Files go to MLflow's artifact routes."
    return TooLarge(told)


def gone() -> ConnectionAbortedError:
    """A client that went away before it had sent everything."""
    return ConnectionAbortedError("the client went away before it had sent everything")


def _check_that_all_came(environ: dict[str, Any]) -> None:
    if not all_there(int(environ["SERVER_PORT"])):
        raise Unavailable("It is not certain that everything has arrived. Send it again.")
