"""
Every error the gateway answers with. The sentences are for the person whose program called.

GatewayError
├── Unauthorized       401
├── NotFound           404
├── MethodNotAllowed   405
├── TimedOut           408  the replica took too long, or the client did with its body
├── TooLarge           413
├── BadAnswer          502  what came back is not a whole HTTP answer
│   └── Silence             the connection ended before anything came back
└── Unavailable        503  nobody is there to answer at this moment
    └── Unreachable         this replica is not: nothing was sent to it
"""

from __future__ import annotations

from studio.lib.errors import StudioError

Headers = list[tuple[bytes, bytes]]


class GatewayError(StudioError):
    """`reason` goes into the gateway's log only; where there is none, the message does."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    def headers(self) -> Headers:
        return []


class Unauthorized(GatewayError):
    code, status = "unauthorized", 401

    def __init__(self) -> None:
        super().__init__(
            "This needs a key of the endpoint or an access token that may score on it. "
            "Send it as the header 'Authorization: Bearer KEY'; keys are shown on the endpoint's page in Studio."
        )

    def headers(self) -> Headers:
        return [(b"www-authenticate", b"Bearer")]


class NotFound(GatewayError):
    code, status = "not_found", 404


class MethodNotAllowed(GatewayError):
    code, status = "method_not_allowed", 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"This address answers {allowed}, not {method}.")
        self.allowed = allowed

    def headers(self) -> Headers:
        return [(b"allow", self.allowed.encode())]


class TimedOut(GatewayError):
    code, status = "timeout", 408


class TooLarge(GatewayError):
    code, status = "too_large", 413


class BadAnswer(GatewayError):
    code, status = "bad_answer", 502


class Silence(BadAnswer):
    pass


class Unavailable(GatewayError):
    code, status = "unavailable", 503

    def headers(self) -> Headers:
        return [(b"retry-after", b"2")]


class Unreachable(Unavailable):
    pass
