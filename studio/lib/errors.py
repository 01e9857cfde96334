"""
Every error the studio raises on purpose.

StudioError              500
├── Invalid              400  what was sent cannot be right
├── Forbidden            403  signed in, may see it, may not do this
├── NotFound             404  also for "exists, but not yours"
├── Conflict             409  the thing is in a state that forbids it
│   ├── IllegalMove           the state machine forbids it
│   └── StateConflict         another process moved first
├── TooLarge             413  more than one request may hold
├── Unservable           422  this model version cannot be deployed
├── IdempotencyKeyReused 422  the key was sent before, with another body
├── TooManyAttempts      429  too many wrong passwords or links from one address
└── Unavailable          503  a part of Studio is not answering
"""

from __future__ import annotations


class StudioError(Exception):
    """`message` is written for the person who sees it: what happened, to what, what to do next."""

    code, status = "internal", 500

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class Invalid(StudioError):
    code, status = "invalid", 400


class Forbidden(StudioError):
    code, status = "forbidden", 403


class NotFound(StudioError):
    code, status = "not_found", 404


class Conflict(StudioError):
    code, status = "conflict", 409


class IllegalMove(Conflict):
    pass


class StateConflict(Conflict):
    pass


class TooLarge(StudioError):
    code, status = "too_large", 413


class Unservable(StudioError):
    code, status = "unservable", 422


class IdempotencyKeyReused(StudioError):
    code, status = "idempotency_key_reused", 422


class TooManyAttempts(StudioError):
    """`retry_after`: seconds until the next attempt is looked at. The code is MLflow's word for it."""

    code, status = "request_limit_exceeded", 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(StudioError):
    code, status = "unavailable", 503
