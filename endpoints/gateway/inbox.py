"""Takes in the bodies of requests."""

from __future__ import annotations

from endpoints.gateway.errors import TooLarge, Unavailable
from endpoints.gateway.limits import Limits
from endpoints.gateway.watch import Message, Receive, Watch

Body = bytes | bytearray


class ClientGone(Exception):
    """Who asked has closed the connection: nobody is there to answer to."""


class Inbox:
    """Reads bodies. Holds no more than the limits allow, one by one and all together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    async def take(self, receive: Receive, declared: int, watch: Watch) -> Body:
        """Return the whole body; it counts as held until `give_back`. Raises ClientGone, TooLarge and Unavailable."""
        self._check(declared)
        message = await _next(receive)
        if not message["more_body"]:
            body: bytes = message["body"]
            self._hold(len(body), len(body))
            return body
        return await self._gather(message, receive, watch)

    def give_back(self, body: Body) -> None:
        self._held -= len(body)

    async def _gather(self, message: Message, receive: Receive, watch: Watch) -> bytearray:
        whole = bytearray()
        try:
            while True:
                self._hold(len(message["body"]), len(whole) + len(message["body"]))
                whole += message["body"]
                if not message["more_body"]:
                    return whole
                watch.renew()
                message = await _next(receive)
        except BaseException:  # also a cancellation: whatever ends it, nothing stays counted
            self.give_back(whole)
            raise

    def _hold(self, more: int, size: int) -> None:
        """Count `more` bytes of a body that is now of this size, or raise."""
        self._check(size)
        if self._held + more > self._limits.bodies:
            raise Unavailable(
                "The gateway holds as many large requests as it can. Try again in a few seconds."
            )
        self._held += more

    def _check(self, size: int) -> None:
        if size > self._limits.body:
            raise TooLarge(
                f"The request is larger than {self._limits.body} bytes. Send its rows in several smaller requests."
            )


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message
