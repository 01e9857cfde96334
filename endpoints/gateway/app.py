"""The gateway's ASGI application: who asks, may they, and which replica answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from time import perf_counter

from endpoints.gateway.connection import Answer
from endpoints.gateway.counting import Counting
from endpoints.gateway.errors import (
    GatewayError,
    MethodNotAllowed,
    NotFound,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from endpoints.gateway.inbox import ClientGone, Inbox
from endpoints.gateway.limits import Limits
from endpoints.gateway.pool import Pool, Request
from endpoints.gateway.reply import Reply, Send
from endpoints.gateway.routes import Replica, Route, authorised, choose
from endpoints.gateway.table import LiveTable
from endpoints.gateway.watch import Message, Receive, Watch
from studio.lib import metrics, request_ids

log = logging.getLogger(__name__)

_FORWARDED = (b"content-type", b"accept")


@dataclass(slots=True)
class Call:
    """A request, as far as the gateway looks into it."""

    headers: dict[bytes, bytes]
    receive: Receive
    reply: Reply


class Gateway:
    """Scores through replicas. Asks nothing but its memory who may and where."""

    def __init__(
        self, table: LiveTable, pool: Pool, limits: Limits, metrics_token: str = ""
    ) -> None:
        self._table = table
        self._counting = Counting(metrics_token)
        self._pool = pool
        self._limits = limits
        self._inbox = Inbox(limits)
        self._loop = asyncio.get_running_loop()
        self._random = Random()  # noqa: S311 - it divides traffic and tells requests apart
        self._refusals, self._told_of_refusals = 0, float("-inf")
        self._own: dict[str, Callable[[Call], Awaitable[None]]] = {
            "/livez": self._livez,
            "/healthz": self._healthz,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        reply = Reply(send, self._request_id(headers))
        request_ids.know(reply.request_id)
        began = perf_counter()
        try:
            await self._route(scope["method"], scope["path"], Call(headers, receive, reply))
        except GatewayError as error:
            await reply.error(error)
        except ClientGone:
            return
        except asyncio.CancelledError:  # the server has waited long enough for us
            await reply.error(
                Unavailable("The gateway is being stopped. Try again in a few seconds.")
            )
        finally:
            self._counting.answered(reply, perf_counter() - began)

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        return given if request_ids.RULE.match(given) else f"{self._random.getrandbits(128):032x}"

    async def _route(self, method: str, path: str, call: Call) -> None:
        endpoint = _endpoint_in(path)
        if endpoint is not None:
            if method != "POST":
                raise MethodNotAllowed(method, "POST")
            await self._score(endpoint, call)
            return
        own = self._own.get(path)
        if own is None:
            raise _nothing()
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(method, "GET, HEAD")
        await own(call)

    async def _livez(self, call: Call) -> None:
        await call.reply.plain(200, b"text/plain", b"ok")

    async def _metrics(self, call: Call) -> None:
        if not self._counting.open:
            raise _nothing()
        if not self._counting.admits(call.headers.get(b"authorization", b"")):
            told = b"Send STUDIO_METRICS_TOKEN as bearer.\n"
            await call.reply.plain(401, b"text/plain", told, [(b"www-authenticate", b"Bearer")])
            return
        text = metrics.exposition(self._counting.families(self._table))
        await call.reply.plain(200, metrics.CONTENT_TYPE.encode(), text.encode())

    async def _healthz(self, call: Call) -> None:
        reply = call.reply
        if self._table.current is None:
            await reply.json(503, {"status": "starting", "routes": None})
            return
        routes = {
            "age_seconds": round(self._table.age, 1),
            "database": "ok" if self._table.connected else "lost",
        }
        await reply.json(200, {"status": "ok", "routes": routes})

    async def _score(self, name: str, call: Call) -> None:
        self._admit(name, call)
        self._counting.begin(name)
        watch = Watch(call.receive, self._limits.seconds, self._loop)
        try:
            await self._take_and_forward(name, call, watch)
        except asyncio.CancelledError:
            if watch.gone:
                raise ClientGone from None
            if watch.expired:
                raise self._timed_out(watch) from None
            raise
        finally:
            watch.stop()
            self._counting.end(name)

    async def _take_and_forward(self, name: str, call: Call, watch: Watch) -> None:
        body = await self._inbox.take(
            call.receive, int(call.headers.get(b"content-length", 0)), watch
        )
        watch.answer()
        try:
            # Routed only now: while the body came, the table may have changed.
            await self._forward(
                self._route_to(name, call.reply),
                Request(_head(call, len(body)), body),
                call.reply,
            )
        finally:
            self._inbox.give_back(body)

    def _timed_out(self, watch: Watch) -> TimedOut:
        seconds = f"{self._limits.seconds:g} seconds"
        if watch.answering:
            return TimedOut(f"The model did not answer in {seconds}. Send fewer rows at once.")
        return TimedOut(
            f"No more of the request came for {seconds}. Send it again, without a break."
        )

    def _admit(self, name: str, call: Call) -> None:
        """Refuse before the body is read. Unauthorized is the same in words and time for an unknown endpoint."""
        table = self._table.current
        if table is None:
            raise Unavailable(
                "The gateway has just started and does not know its endpoints yet. Try again in a few seconds."
            )
        if not authorised(table, name, _secret(call.headers)):
            self._note_refusal(name, call.reply)
            raise Unauthorized
        self._route_to(name, call.reply)

    def _note_refusal(self, name: str, reply: Reply) -> None:
        """Tell the log, a line a second at most: whoever guesses must not fill it."""
        self._refusals += 1
        if self._loop.time() - self._told_of_refusals < 1:
            return
        log.warning(
            "status=401 code=unauthorized endpoint=%.64r request_id=%s refusals=%d",
            name,
            reply.request_id,
            self._refusals,
        )
        self._told_of_refusals, self._refusals = self._loop.time(), 0

    def _route_to(self, name: str, reply: Reply) -> Route:
        table = self._table.current
        route = table.routes.get(name) if table else None
        if route is None:
            raise NotFound(
                f"There is no endpoint named {name!r}. Studio's page of endpoints lists them."
            )
        reply.endpoint = route.name
        return route

    async def _forward(self, route: Route, request: Request, reply: Reply) -> None:
        chosen = choose(route, self._random, self._pool.busy)
        if chosen is None:
            raise _nobody(route)
        deployment, replicas = chosen
        reply.deployment = deployment.name
        if deployment.stopped and not replicas:
            raise Unavailable(
                f"The deployment {deployment.name!r} of this endpoint is stopped: it can be started on its page in Studio."
            )
        answer = await self._ask(replicas, request)
        try:
            await reply.pass_on(answer)
        finally:
            answer.close()

    async def _ask(self, replicas: list[Replica], request: Request) -> Answer:
        """Ask the first replica that can be reached. To one that cannot, nothing was sent."""
        reason = "no replica is ready"
        for replica in replicas:
            try:
                return await self._pool.ask(replica, request)
            except Unreachable as failure:
                reason = failure.message
        raise Unavailable(
            "No model server of this endpoint is ready. Try again in a few seconds.",
            reason=reason,
        )


def _nothing() -> NotFound:
    return NotFound(
        "There is nothing at this address. Predictions are POSTed to /endpoints/NAME/invocations."
    )


def _nobody(route: Route) -> NotFound:
    """Why no deployment was chosen, in words that its page in Studio goes on from."""
    if any(deployment.replicas for deployment in route.deployments):
        return NotFound(
            f"No deployment takes traffic on the endpoint {route.name!r}: its page in Studio shows them."
        )
    return NotFound(
        f"No deployment of the endpoint {route.name!r} is live: its page in Studio says why."
    )


def _endpoint_in(path: str) -> str | None:
    parts = path.split("/")
    if len(parts) == 4 and parts[1] == "endpoints" and parts[2] and parts[3] == "invocations":
        return parts[2]
    return None


def _secret(headers: dict[bytes, bytes]) -> str:
    scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _head(call: Call, length: int) -> bytes:
    """The request line and headers for the replica."""
    lines = [
        b"POST /invocations HTTP/1.1",
        b"host: replica",
        b"content-length: %d" % length,
    ]
    lines += [b"%b: %b" % (name, call.headers[name]) for name in _FORWARDED if name in call.headers]
    lines += [b"x-request-id: %b" % call.reply.request_id.encode(), b"", b""]
    return b"\r\n".join(lines)
