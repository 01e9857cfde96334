"""The id that a request is known by, in every process that works on it, in its log lines and in its answer."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "X-Request-ID"
RULE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_current: ContextVar[str] = ContextVar("request_id", default="")
_about: ContextVar[str] = ContextVar("request_about", default="")


def current() -> str:
    """Of the request that this thread or coroutine works on. Empty: of none."""
    return _current.get()


def begin(given: str) -> str:
    """Work on a request from now on: known by the given id if that can do no harm in a log, else by a new one.

    It holds until the next one begins: an answer is still being sent when its view has returned.
    """
    known = given if RULE.match(given) else secrets.token_hex(16)
    _current.set(known)
    return known


def know(known: str) -> None:
    """Work on a request whose id was looked at already."""
    _current.set(known)


def about() -> str:
    """What is asked for: a route or a task, without anybody's ids. Empty where nobody has said."""
    return _about.get()


def tell_about(what: str) -> None:
    _about.set(what)


def go_on(given: str) -> None:
    """Work on behalf of a request that began elsewhere, or of none."""
    _current.set(given if RULE.match(given) else "")
