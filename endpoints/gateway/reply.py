"""Answers a caller: with what a replica said, or with the gateway's own words."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import orjson

from endpoints.gateway.connection import Answer
from endpoints.gateway.errors import GatewayError, Headers
from endpoints.gateway.watch import Message

log = logging.getLogger(__name__)

Send = Callable[[Message], Awaitable[None]]
NOBODY = "-"  # no endpoint, no deployment

# What concerns one connection only, what the gateway says itself, and cookies: those would reach every port
# of this host, Studio's pages among them.
_NOT_PASSED_ON = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"date",
        b"set-cookie",
        b"studio-deployment",
        b"x-request-id",
    )
)


class Reply:
    """The one answer to one request. `endpoint` and `deployment` are for the log, once they are known."""

    __slots__ = ("_send", "deployment", "endpoint", "request_id", "started", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.endpoint = self.deployment = NOBODY
        self.started = False
        self.status = 0  # until there is an answer

    async def plain(
        self, status: int, content_type: bytes, body: bytes, more: Headers | None = None
    ) -> None:
        headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.request_id.encode()),
            *(more or ()),
        ]
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def json(self, status: int, content: object, more: Headers | None = None) -> None:
        await self.plain(status, b"application/json", orjson.dumps(content), more)

    async def error(self, error: GatewayError) -> None:
        """Tell what went wrong. Once an answer has begun, all that is left is to break it off."""
        if error.status >= 500 or self.started:
            self._record(error)
        if not self.started:
            told = {
                "code": error.code,
                "message": error.message,
                "step": "",
                "detail": error.detail,
            }
            await self.json(error.status, {"error": told}, error.headers())

    async def pass_on(self, answer: Answer) -> None:
        """Answer with what the replica answers, as it comes. Raises BadAnswer."""
        self.started = True
        self.status = answer.status
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": self._headers(answer),
            }
        )
        ended = False
        while not ended:
            part = await answer.read()
            ended = answer.ended
            await self._send({"type": "http.response.body", "body": part, "more_body": not ended})

    def _headers(self, answer: Answer) -> Headers:
        left_out = _NOT_PASSED_ON
        for name, value in answer.headers:
            if name == b"connection":
                left_out = left_out.union(one.strip().lower() for one in value.split(b","))
        if answer.status in (204, 304):  # no body follows, whatever length they tell
            left_out = left_out.union((b"content-length",))
        headers = [header for header in answer.headers if header[0] not in left_out]
        headers.append((b"studio-deployment", self.deployment.encode()))
        headers.append((b"x-request-id", self.request_id.encode()))
        return headers

    def _record(self, error: GatewayError) -> None:
        log.error(
            "status=%s code=%s endpoint=%s deployment=%s request_id=%s reason=%s",
            "cut" if self.started else error.status,
            error.code,
            self.endpoint,
            self.deployment,
            self.request_id,
            error.reason or error.message,
            extra={
                "kind": f"{error.status} {error.code}",
                "route": f"{self.endpoint}/{self.deployment}",
                "brief": error.reason or error.message,
                "request_id": self.request_id,
            },
        )
