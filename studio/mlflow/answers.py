"""MLflow's answer on its way to the client."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO

import httpx

from studio.lib.errors import Unavailable

_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024
_BROKEN = "MLflow's server broke off in the middle of its answer. Try again in a moment."


class Pieces:
    """An answer's bytes as they are on the wire: not gathered, an event is passed on when it comes.

    To close it lets go of the connection, also where nobody has read from it.
    """

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_raw()
        finally:
            self._answer.close()

    def close(self) -> None:
        self._answer.close()


class Whole:
    """An answer's bytes, read to their end before the first is passed on. Raises Unavailable.

    For what comes without a length. A WSGI server cannot break off such an answer: half of one would end as
    if it were whole.
    """

    def __init__(self, answer: httpx.Response) -> None:
        self._file: IO[bytes] = BytesIO()
        try:
            for piece in Pieces(answer):
                self._write(piece)
        except httpx.TransportError as failure:
            self.close()
            raise Unavailable(_BROKEN) from failure
        self.length = self._file.tell()

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            yield piece

    def close(self) -> None:
        self._file.close()

    def _write(self, piece: bytes) -> None:
        if isinstance(self._file, BytesIO) and self._file.tell() > _IN_MEMORY:
            file = TemporaryFile()  # noqa: SIM115 - closed by close()
            file.write(self._file.getbuffer())
            self._file = file
        self._file.write(piece)


def content_of(answer: httpx.Response) -> Pieces | Whole:
    """The answer's bytes, as they come where the client can tell that they have ended too early."""
    events = answer.headers.get("Content-Type", "").startswith("text/event-stream")
    return Pieces(answer) if "Content-Length" in answer.headers or events else Whole(answer)
