"""Around MLflow's application: a sign of life that waits for nothing, no body that is taken for whole too early, and
the id that a request is logged by.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from studio.lib import request_ids
from studio.mlflow.routes import mlflow_route

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PULSE = "/studio/pulse"
_SLOW = 1.0  # seconds
_ID = request_ids.HEADER.lower().encode()


class Gone(Exception):
    """The caller went away before it had sent everything."""


class Edge:
    """MLflow's application as Studio serves it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == PULSE:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            try:
                await self._app(scope, whole(receive), _watched(scope, send))
            except* Gone:  # nobody is there to be answered
                pass


def _watched(scope: MutableMapping[str, Any], send: Send) -> Send:
    """A `send` that logs what fails or is slow, by the id that web has given the request."""
    given = next((value for name, value in scope.get("headers", ()) if name == _ID), b"")
    request_ids.begin(given.decode("latin-1"))
    route, began = mlflow_route(scope["path"]), monotonic()
    request_ids.tell_about(route)

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            status, seconds = message["status"], monotonic() - began
            if status >= 500 or seconds > _SLOW:
                told = "status=%d method=%s route=%s ms=%.0f"
                log.warning(told, status, scope.get("method"), route, seconds * 1000)
        await send(message)

    return watched


def whole(receive: Receive) -> Receive:
    """A `receive` that raises Gone when the body ends before its end.

    MLflow hands what has come until then to its Flask routes as if it were all, and leaves it to them to count;
    in its other routes every upload that breaks off is an error with a traceback.
    """
    ended = False

    async def checked() -> Message:
        nonlocal ended
        message = await receive()
        if message["type"] == "http.disconnect" and not ended:
            raise Gone
        ended = ended or not message.get("more_body", False)
        return message

    return checked


def create_app() -> Edge:
    """MLflow's application, with its permission rules on and its walls up. For MLflow's process alone."""
    from mlflow.server.auth import create_app

    from studio.lib import artifacts
    from studio.mlflow import responder, trouble, walls

    walls.raise_walls(artifacts.destination())
    application = create_app()
    responder.install()
    trouble.install(application)
    return Edge(application)
