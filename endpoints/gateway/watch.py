"""Watches over a request: it ends when its time is up, or when nobody is there any more to hear the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Most answers come sooner than this, and cost one timer. Only those that do not are looked after.
UNWATCHED = 0.05  # seconds


class Watch:
    """Cancels the task that made it: then `expired` or `gone` says why. To be stopped in the end."""

    def __init__(self, receive: Receive, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.expired = False  # `seconds` went by since the last `renew`
        self.gone = False  # the client has closed the connection
        self.answering = False  # the request is read; from here on the client's leaving is noticed
        self._receive = receive
        self._seconds = seconds
        self._loop = loop
        self._task = asyncio.current_task(loop)
        self._deadline = loop.time() + seconds
        self._timer = loop.call_later(UNWATCHED, self._begin)
        self._begun = False
        self._listener: asyncio.Task[None] | None = None

    def renew(self) -> None:
        self._deadline = self._loop.time() + self._seconds

    def answer(self) -> None:
        """The request has been read: the next thing the client can do is leave."""
        self.answering = True
        self.renew()
        if self._begun:
            self._listen()

    def stop(self) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()

    def _begin(self) -> None:
        self._begun = True
        if self.answering:
            self._listen()
        self._check()

    def _check(self) -> None:
        left = self._deadline - self._loop.time()
        if left <= 0:
            self.expired = True
            self._cancel()
        else:
            self._timer = self._loop.call_later(left, self._check)

    def _listen(self) -> None:
        self._listener = self._loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
