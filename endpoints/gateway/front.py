"""uvicorn's HTTP/1.1 with two additions: unknown callers cannot hold memory, and answers leave in one piece."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 64 * 1024  # bytes that may come without an end of head or a piece of body among them
SLOWEST_HEAD = 30.0  # seconds
LINGER = 3.0  # seconds for what was still to be sent when a connection is closed


class Joined:
    """A transport that sends what is written within one turn of the event loop as one piece.

    uvicorn writes head and body apart: twice the system calls here, and twice the reads at the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()
        # A client that does not read would hold the connection for ever.
        if self._transport.get_write_buffer_size():
            self._loop.call_later(LINGER, self._transport.abort)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():  # the client may have left in this same turn
            self._transport.writelines(parts)


class Front(HttpToolsProtocol):
    """Closes connections whose request line, headers or trailers do not come to an end."""

    _unframed = 0  # bytes since the parser last had something to tell
    _in_head = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        joined = Joined(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, joined))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        self._unframed += len(data)
        super().data_received(data)
        if self._unframed > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")
        elif self._in_head and self._patience is None:
            self._await_head()

    def on_message_begin(self) -> None:
        self._unframed = 0
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unframed = 0
        self._in_head = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unframed = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(SLOWEST_HEAD, self.timeout_keep_alive_handler)
