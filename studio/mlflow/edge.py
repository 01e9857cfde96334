"""Around MLflow's application: a sign of life that waits for nothing, and no body that is taken for whole too early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PULSE = "/studio/pulse"


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
                await self._app(scope, whole(receive), send)
            except* Gone:  # nobody is there to be answered
                pass


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
    from django.conf import settings
    from mlflow.server.auth import create_app

    from studio.mlflow import responder, walls

    walls.raise_walls(settings.ARTIFACTS.as_uri())
    application = create_app()
    responder.install()
    return Edge(application)
