"""MLflow's Flask routes as they are served here: at the reader's pace, and no longer than the reader stays.

MLflow's own way hands a thread's answer over without a limit, so that a large file read slowly lies in memory
whole, and reads it to its end for a reader who has left. Loaded in MLflow's own process only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
from mlflow.server import fastapi_app

from studio.mlflow.edge import Receive, Send

_AHEAD = 8  # pieces that the thread may be ahead of the reader


class Responder(fastapi_app._EfficientWSGIResponder):  # type: ignore[misc]  # MLflow carries no types
    def __init__(self, app: Callable[..., Any], scope: Any) -> None:
        super().__init__(app, scope)
        self.stream_send, self.stream_receive = anyio.create_memory_object_stream[Any](_AHEAD)

    async def __call__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        await super().__call__(receive, send)

    async def sender(self, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_when_left, group.cancel_scope)
            await super().sender(send)
            group.cancel_scope.cancel()

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        answer: Any = ()
        try:
            answer = self.app(environ, start_response)
            for piece in answer:
                self._pass_on(piece, more_body=True)
            self._pass_on(b"", more_body=False)
        except anyio.BrokenResourceError:  # the reader has left
            pass
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def _pass_on(self, piece: bytes, *, more_body: bool) -> None:
        message = {"type": "http.response.body", "body": piece, "more_body": more_body}
        anyio.from_thread.run(self.stream_send.send, message)

    async def _stop_when_left(self, scope: anyio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def install() -> None:
    """Have MLflow serve its Flask routes by it. Called once, before it serves."""
    fastapi_app._EfficientWSGIResponder = Responder
