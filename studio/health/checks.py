"""Whether Studio is well: for load balancers, for `up`, and for whoever asks what is broken."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta

import httpx
import psycopg
import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from endpoints.models import Agent
from studio.health.models import Process
from studio.lib import artifacts
from studio.lib.heartbeat import worker_seen_recently
from studio.lib.http import gateway_url
from studio.mlflow import upstream

_PATIENCE = 3.0  # seconds
_AGENT_SILENT = timedelta(seconds=15)
_SILENT = "not answering"
_NO_STORE = "The artifact store is out of reach: the administrators' page of health says more."


class Unwell(Exception):
    """A part does not answer as it should; the message says how."""


@login_not_required
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, else 503; the body names each part and what is wrong with it.

    A warning is of what works, though not as it should.
    """
    parts, warnings, trouble = look()
    unwell = sorted(name for name, told in parts.items() if told != "ok")
    body = {
        "status": "unwell" if unwell else "ok",
        "unwell": unwell,
        "parts": parts,
        "warnings": [*warnings, *([_NO_STORE] if trouble else [])],
    }
    response = JsonResponse(body, status=503 if unwell else 200)
    response._has_been_logged = True  # type: ignore[attr-defined]  # who asks every second is told, the log is not
    return response


def look() -> tuple[dict[str, str], list[str], str]:
    """Each part with "ok" or what is wrong with it; the warnings; and what is wrong with the artifact store.

    That names an address, which not everybody is to know.
    """
    parts = {"web": "ok"}
    for name, check in CHECKS.items():
        store, called = _TOLD_BY.get(name, ("web", ""))
        parts[name] = _ask(check) if parts[store] == "ok" else f"not known while {called} is away"
    rows = parts["database"] == "ok" and not parts["agent"].startswith(_SILENT)
    return parts, _warnings() if rows else [], artifacts.trouble() or ""


def _ask(check: Callable[[], None]) -> str:
    try:
        check()
    except Unwell as told:
        return str(told)
    except (
        DatabaseError,
        psycopg.Error,
        redis.RedisError,
        httpx.HTTPError,
        OSError,
    ) as failure:
        return f"{_SILENT} ({type(failure).__name__})"
    return "ok"


def _warnings() -> list[str]:
    told = Agent.objects.filter(seen_at__gt=Now() - _AGENT_SILENT).exclude(warning="")
    try:
        return list(told.values_list("warning", flat=True))
    except (DatabaseError, psycopg.Error):  # it has just gone away; the next look says so
        return []


def _database() -> None:
    """By a connection of its own: the pool's are waited for, and on one that a frozen server holds for ever."""
    with psycopg.connect(settings.DATABASE_URL, connect_timeout=int(_PATIENCE)) as connection:
        connection.execute("SELECT 1")


def _redis() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
    ) as client:
        try:
            client.ping()
        except redis.ResponseError as refused:
            raise Unwell(f"takes no writes: {refused}") from None


def _reference() -> None:
    answer = upstream.client().get("/health", timeout=_PATIENCE)
    if answer.status_code != 200:
        raise Unwell(f"answered {answer.status_code}")


def _gateway() -> None:
    """Of this host it is asked itself, which tells more; one of another host is heard of."""
    alive = Process.objects.filter(name="gateway", seen_at__gt=Now() - Process.SILENT)
    hosts = set(alive.values_list("host", flat=True))
    if hosts and socket.gethostname() not in hosts:
        return
    url = f"{gateway_url()}/healthz"
    answer = httpx.get(url, timeout=_PATIENCE, trust_env=False)  # past any proxy
    if answer.status_code != 200:
        raise Unwell("has not read its routes yet")


def _agent() -> None:
    if not Agent.objects.filter(seen_at__gt=Now() - _AGENT_SILENT).exists():
        raise Unwell("no agent has been heard of for 15 s")


def _worker() -> None:
    if not worker_seen_recently():
        raise Unwell("no Celery worker has been heard of for 15 s")


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "redis": _redis,
    "reference": _reference,
    "gateway": _gateway,
    "agent": _agent,
    "worker": _worker,
}
# By what is known whether they live: those who write there, and are looked for there.
_DATABASE = ("database", "the database")
_TOLD_BY = {"agent": _DATABASE, "gateway": _DATABASE, "worker": ("redis", "Redis")}
