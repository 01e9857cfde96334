"""One connection to a replica: writes requests, reads the answers off it, and knows when it can be used again."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from endpoints.gateway.errors import BadAnswer, Headers, Silence
from studio.lib import peers

# Bytes of an answer that are held for a slow reader; beyond them the replica has to wait.
HELD = 256 * 1024
# Bytes that may come without a piece of body among them: the head, and what frames the chunks.
LONGEST_HEAD = 64 * 1024

_NO_BODY = (204, 304)


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def freed(self, connection: Connection) -> None:
        """It has brought its answer and can take another request."""

    def lost(self, connection: Connection) -> None:
        """It is closed. Told once."""


class Answer:
    """What a replica answers to one request, as it arrives. Read it to its end, or close it."""

    __slots__ = (
        "_body",
        "_connection",
        "_failure",
        "_waiter",
        "complete",
        "headers",
        "status",
        "whole",
    )

    def __init__(self, connection: Connection) -> None:
        self.status = 0  # until the head is there
        self.headers: Headers = []
        self.complete = False
        # A short answer is waited for in full: if it breaks off, the client can still be told.
        self.whole = False
        self._connection = connection
        self._body = bytearray()
        self._failure: BadAnswer | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        return self.complete and not self._body

    async def head(self) -> None:
        """Wait until there is something to pass on. Raises BadAnswer."""
        while not self.complete and (self._failure or self.whole or not self.status):
            await self._progress()

    async def read(self) -> bytes:
        """Return what has come of the body, or wait for more. Empty at its end. Raises BadAnswer."""
        while not self._body and not self.complete:
            await self._progress()
        body, self._body = self._body, bytearray()
        if not self.complete:
            self._connection.go_on_reading()
        return bytes(body)

    def close(self) -> None:
        """Give up what has not come yet. Without effect on an answer that is complete."""
        if not self.complete:
            self._connection.close()

    def add(self, part: bytes) -> int:
        """Keep a piece of the body. Returns how much of it waits for the reader."""
        self._body += part
        return len(self._body)

    def fail(self, failure: BadAnswer) -> None:
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _progress(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """A kept connection. One request at a time: the next one only after `freed`."""

    def __init__(self, address: str, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.loop = loop
        self.closed = False
        self.peer = 0  # the pid of who answers on it
        self._owner = owner
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._heard = self._surplus = self._paused = self._until_close = self._keep = False
        self._unframed = 0

    def ask(self, head: bytes, body: bytes | bytearray) -> Answer:
        """Send a request. The answer fills up from now on."""
        self._answer = answer = Answer(self)
        self._heard = False
        self._unframed = 0
        self._transport.writelines((head, body) if body else (head,))
        return answer

    def close(self) -> None:
        """Close at once, whatever is under way."""
        if self.closed:
            return
        self.closed = True
        self._answer = None
        self._transport.abort()
        self._owner.lost(self)

    def go_on_reading(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer = peers.pid_of(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.close()  # nobody asked, and it could be taken for the next one's answer
            return
        self._heard = True
        self._unframed += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(BadAnswer("The model server sent something that is not an HTTP answer."))
            return
        if answer.complete:
            self._settle()
        elif self._unframed > LONGEST_HEAD:
            self._fail(
                BadAnswer(f"The model server sent a head of more than {LONGEST_HEAD} bytes.")
            )
        answer.wake()

    def eof_received(self) -> None:
        self._ended(cleanly=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(cleanly=exc is None)

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None and not self._answer.status:  # else a trailer
            self._answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or self._surplus:
            return
        if 100 <= status < 200:
            answer.headers.clear()  # "wait", not the answer
            return
        if not 200 <= status <= 599:
            raise ValueError(status)  # the parser passes it on as its own error
        framing = dict(answer.headers)
        length = framing.get(b"content-length")
        self._until_close = (
            length is None and b"transfer-encoding" not in framing and status not in _NO_BODY
        )
        answer.whole = length is not None and int(length) <= HELD
        answer.status = status

    def on_body(self, part: bytes) -> None:
        self._unframed = 0
        if self._answer is None or self._surplus:
            return
        if self._answer.add(part) > HELD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._answer.complete = True
            self._keep = self._parser.should_keep_alive()

    def _settle(self) -> None:
        """The answer is complete: free the connection for the next one, or close it."""
        unsent = self._transport.get_write_buffer_size()
        self._answer = None
        if self._surplus or unsent or not self._keep or self._transport.is_closing():
            self.close()
            return
        self.go_on_reading()
        self._owner.freed(self)

    def _ended(self, *, cleanly: bool) -> None:
        """The other side has closed, which ends an answer without a length and breaks off any other."""
        answer = self._answer
        if answer is None:
            pass
        elif cleanly and answer.status and self._until_close:
            answer.complete = True
            answer.wake()
        elif self._heard:
            answer.fail(BadAnswer("The model server broke off in the middle of its answer."))
        else:
            answer.fail(Silence("The model server closed the connection without an answer."))
        self.close()

    def _fail(self, failure: BadAnswer) -> None:
        if self._answer is not None:
            self._answer.fail(failure)
        self.close()
