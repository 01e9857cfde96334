"""The HTTP side: a bare ASGI application, since four paths need no framework."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from .answer import JSON, Answer, error

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from .scoring import Scorer
    from .worker import Call, Worker

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]


class App:
    """Answers /invocations through the worker, everything else at once, also while it is busy."""

    def __init__(self, scorer: Scorer, worker: Worker) -> None:
        self._scorer = scorer
        self._worker = worker
        alive = Answer(200, JSON, b"\n")
        self._constant = {
            "/ping": alive,
            "/health": alive,
            "/version": Answer(200, JSON, scorer.version.encode()),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        if answer is not None:
            await _send(answer, send)

    async def _answer(self, scope: Message, receive: Receive) -> Answer | None:
        """Return the answer, or None for a client that went away."""
        path, method = scope["path"], scope["method"]
        if path != "/invocations" and path not in self._constant:
            return error(404, "ENDPOINT_NOT_FOUND", f"There is nothing at {path}.")
        allowed = "POST" if path == "/invocations" else "GET"
        if method != allowed:
            return error(
                405,
                "METHOD_NOT_ALLOWED",
                f"{path} answers {allowed}, not {method}.",
                allow=allowed,
            )
        if path in self._constant:
            return self._constant[path]
        body = await _read(receive)
        if body is None:
            return None
        return await self._predict(partial(self._scorer.score, body, _content_type(scope)), receive)

    async def _predict(self, call: Call, receive: Receive) -> Answer | None:
        """Wait for the worker's answer. Who goes away before its turn never reaches the model."""
        answer = asyncio.wrap_future(self._worker.submit(call))
        # After the body, the next thing to receive is the client's going away.
        gone = asyncio.ensure_future(receive())
        either: set[asyncio.Future[Any]] = {answer, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        except asyncio.CancelledError:  # uvicorn has waited long enough for us
            return error(503, "TEMPORARILY_UNAVAILABLE", "The model server was stopped.")
        finally:
            gone.cancel()
            answer.cancel()


def _content_type(scope: Message) -> str | None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value, "latin-1")
    return None


async def _read(receive: Receive) -> bytes | None:
    """Return the request's body, or None when the client left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    if answer.allow:
        headers.append((b"allow", answer.allow.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
