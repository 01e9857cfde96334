"""A server where MLflow's would be: it records what reaches it, and answers what a test tells it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from studio.mlflow.edge import PULSE
from studio.mlflow.serve import private_socket
from tests.support.processes import until

Pieces = Callable[["Seen"], AsyncIterator[bytes]]


@dataclass
class Seen:
    """A request as it came. `whole` once its body has ended as it should; `gone` if the caller went away."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    gone: bool = False

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]


@dataclass
class Answer:
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: Pieces | bytes = b"{}"
    at_once: bool = False  # without reading the body first
    held: threading.Event | None = None  # nothing is answered until it is set


class Upstream:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer = Answer()
        self.pulse = True  # whether it gives a sign of life when asked for one

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == PULSE:
            await self._live(send)
            return
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        seen = Seen(
            scope["method"], scope["raw_path"].decode(), scope["query_string"].decode(), headers
        )
        self.seen.append(seen)
        answer = self.answer
        if not answer.at_once:
            await self._read(seen, receive)
        if seen.gone:
            return
        while answer.held and not answer.held.is_set():
            await asyncio.sleep(0.02)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if isinstance(answer.pieces, bytes):
            await send({"type": "http.response.body", "body": answer.pieces})
            return
        watch = asyncio.create_task(self._watch(seen, receive))
        async for piece in answer.pieces(seen):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # or nobody would see who has left
            if seen.gone:
                return
        watch.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _live(self, send: Any) -> None:
        while not self.pulse:
            await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _watch(self, seen: Seen, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        seen.gone = True

    async def _read(self, seen: Seen, receive: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.gone = True
                return
            seen.body += message.get("body", b"")
            if not message.get("more_body"):
                seen.whole = True
                return


@contextmanager
def listening(path: Path) -> Iterator[Upstream]:
    """An upstream on this Unix socket, in a thread of its own."""
    app = Upstream()
    config = uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    listener = private_socket(path)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the upstream")
        yield app
    finally:
        app.pulse = True
        if app.answer.held:
            app.answer.held.set()
        server.should_exit = True
        thread.join(10)
        listener.close()
        path.unlink(missing_ok=True)
