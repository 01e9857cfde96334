"""The short way for what programs send most: to the fast lane, past everything that Django does for pages.

Who comes with a token, and asks for nothing but a route of the lane, needs no session, no form's protection and no
cookie. What counts is done as by the middleware: the request's id, what it counts for, the host's name, who a proxy
says is asking. Whatever is unusual goes the long way, which answers the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from studio.accounts.credentials import token_in
from studio.health.counters import WEB
from studio.health.middleware import tell
from studio.health.routes import REFUSED
from studio.lane import LANES, PREFIXES, entry, guarded
from studio.lib import proxies, request_ids
from studio.lib.bodies import length_of, read_body, replace
from studio.lib.errors import StudioError
from studio.lib.http import mlflow_error
from studio.lib.secrets import digest
from studio.mlflow.guards import TABLE, refusal
from studio.mlflow.routes import mlflow_route

StartResponse = Callable[[str, list[tuple[str, str]]], object]
# As Studio answers on every route of MLflow's: data, never a document of this site.
_ALWAYS = [
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Vary", "Authorization"),
]
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
# Bytes of a body. A longer one is not held in memory for who has not yet proved who he is.
_LONGEST = 1 << 20
# A guard that does neither before nor after may hide a 404, which is never the lane's.
_OF_THE_LANE = (guarded.answered, guarded.looked_up, None)
# What only browsers send: their requests are judged by the long way.
_OF_BROWSERS = ("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_DEST")


def answered(environ: dict[str, Any], start_response: StartResponse) -> list[bytes] | None:
    """The answer of the lane. None: this goes the long way, and what was read of it can be read again."""
    path = environ["PATH_INFO"]
    method = environ["REQUEST_METHOD"]
    to = _routes().get((method, path))
    if to is None:
        return None
    length = length_of(environ)
    if length is None or length > _LONGEST:
        return None
    found = token_in(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None or any(name in environ for name in _OF_BROWSERS):
        return None
    proxies.settle(environ)
    if not _is_ours(environ.get("HTTP_HOST", "")):
        return None
    began = perf_counter()
    known = request_ids.begin(environ.get("HTTP_X_REQUEST_ID", ""))
    with WEB.in_flight:
        told = _told(environ, to, *found)
    if told is None:
        return None
    status, content, content_type = told
    name = mlflow_route(path)
    tell(
        name,
        method,
        status,
        perf_counter() - began,
        "mlflow refused" if status in REFUSED else name,
    )
    headers = [("Content-Type", content_type), ("Content-Length", str(len(content)))]
    start_response(_STATUS[status], [*headers, (request_ids.HEADER, known), *_ALWAYS])
    return [content]


class _Address(NamedTuple):
    """A route of the lane, and whether it reads."""

    route: str
    reads: bool


@cache
def _routes() -> dict[tuple[str, str], _Address]:
    """The lane's routes by method and path. One that has further guards goes through Django, where guards are."""
    asked = [("POST", _Address(route, reads=False)) for lane in LANES for route in lane.writing]
    asked += [
        (method, _Address(route, reads=True))
        for lane in LANES
        for route, methods in lane.reading.items()
        for method in methods
    ]
    named = {(method, prefix + to.route): to for prefix in PREFIXES for method, to in asked}
    return {address: to for address, to in named.items() if _is_the_lanes(*address)}


def _is_the_lanes(method: str, path: str) -> bool:
    guards = TABLE.on(method, path.removeprefix("/mlflow"))
    return any(guard.before for guard in guards) and all(
        guard.before in _OF_THE_LANE and guard.after is None for guard in guards
    )


@lru_cache(maxsize=256)
def _is_ours(host: str) -> bool:
    """As Django's HttpRequest.get_host."""
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _told(
    environ: dict[str, Any], to: _Address, token: str, username: str | None
) -> tuple[int, bytes, str] | None:
    """Status, content and its type. None: the token lets nobody in."""
    try:
        raw = read_body(environ, _LONGEST)
    except StudioError as failure:
        refused = refusal(failure)
        return refused.status_code, refused.content, "application/json"
    except ConnectionAbortedError as failure:
        refused = mlflow_error("BAD_REQUEST", str(failure), 400)
        return refused.status_code, refused.content, "application/json"
    kind, key = environ.get("CONTENT_TYPE"), digest(token)
    if to.reads:
        asked = (environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""), raw, kind)
        told = entry.look(to.route, key, username, asked)
    else:
        told = entry.answer(to.route, key, username, raw, kind)
    if told is None:
        replace(environ, raw)
    return told
