"""Small model servers on Unix sockets, for the gateway to ask. They do what a test tells them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.endpoints.gateway.kit import eventually


@dataclass
class Exchange:
    """A request that a model server has read, and where its answer goes."""

    head: bytes
    body: bytes
    writer: asyncio.StreamWriter
    count: int  # requests on this connection, this one included
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        lines = self.head.decode().split("\r\n")[1:]
        self.headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines if line)
        }

    async def wait_for(self, event: threading.Event) -> None:
        while not event.is_set():
            await asyncio.sleep(0.01)

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *headers,
        ]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)


Behaviour = Callable[[Exchange], Awaitable[None]]
MakeServer = Callable[..., "ModelServer"]


class ModelServer:
    """A model server on a Unix socket, in a thread. What it does with a request can be changed at any time."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.address = str(folder / f"{secrets.token_hex(4)}.sock")
        self.behaviour = behaviour
        self.requests: list[Exchange] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.connections = 0  # ever
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        eventually(lambda: self._server)

    @property
    def open(self) -> int:
        """Connections at this moment."""
        return len(self.writers)

    def drop(self) -> None:
        """Close every connection, as a restarted server would have."""
        self._call(self._drop())

    def say(self, data: bytes) -> None:
        """Send on every connection, unasked."""
        for writer in list(self.writers):
            self._loop.call_soon_threadsafe(writer.write, data)

    def stop(self) -> None:
        """Listen no more. The socket's file stays, as after a crash."""
        if self._thread.is_alive():
            self._call(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._connected, self.address, backlog=1024)
        )
        self._loop.run_forever()
        self._loop.close()

    async def _drop(self) -> None:
        for writer in list(self.writers):
            writer.close()

    async def _stop(self) -> None:
        assert self._server is not None
        # First accept no more and let what is being accepted arrive: closed in between, it would leak.
        self._loop.remove_reader(self._server.sockets[0].fileno())
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks & self._serving:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.1)
        self._server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)

        def ended(
            _: asyncio.Task[None],
        ) -> None:  # not in the task: it may be cancelled before it has begun
            self._serving.discard(task)
            self.writers.discard(writer)
            writer.close()

        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            count += 1
            exchange = Exchange(head, b"", writer, count)
            exchange.body = await reader.readexactly(int(exchange.headers["content-length"]))
            self.requests.append(exchange)
            behaving = asyncio.ensure_future(self.behaviour(exchange))
            leaving = asyncio.ensure_future(_left(reader))
            try:
                await asyncio.wait({behaving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                behaving.cancel()
                leaving.cancel()
                await asyncio.gather(behaving, leaving, return_exceptions=True)


async def _left(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed."""
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.01)


async def echo(exchange: Exchange) -> None:
    await exchange.answer(exchange.body)


async def never(exchange: Exchange) -> None:
    await asyncio.Event().wait()
