"""Whether Studio is well: for load balancers, for `up`, and for whoever asks what is broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import psycopg
import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from endpoints.models import Agent
from studio.lib.heartbeat import worker_seen_recently
from studio.mlflow import upstream

_PATIENCE = 3.0  # seconds
_AGENT_SILENT = timedelta(seconds=15)


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
    parts = {"web": "ok"} | {name: _ask(check) for name, check in CHECKS.items()}
    unwell = sorted(name for name, told in parts.items() if told != "ok")
    body = {
        "status": "unwell" if unwell else "ok",
        "unwell": unwell,
        "parts": parts,
        "warnings": _warnings() if parts["database"] == "ok" else [],
    }
    response = JsonResponse(body, status=503 if unwell else 200)
    response._has_been_logged = True  # type: ignore[attr-defined]  # who asks every second is told, the log is not
    return response


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
        return f"not answering ({type(failure).__name__})"
    return "ok"


def _warnings() -> list[str]:
    told = Agent.objects.filter(seen_at__gt=now() - _AGENT_SILENT).exclude(warning="")
    try:
        return list(told.values_list("warning", flat=True))
    except (DatabaseError, psycopg.Error):  # it has just gone away; the next look says so
        return []


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
    ) as client:
        client.ping()


def _reference() -> None:
    answer = upstream.client().get("/health", timeout=_PATIENCE)
    if answer.status_code != 200:
        raise Unwell(f"answered {answer.status_code}")


def _gateway() -> None:
    url = f"http://{settings.SCORING_ADDRESS}/healthz"
    answer = httpx.get(url, timeout=_PATIENCE, trust_env=False)  # past any proxy
    if answer.status_code != 200:
        raise Unwell("has not read its routes yet")


def _agent() -> None:
    if not Agent.objects.filter(seen_at__gt=now() - _AGENT_SILENT).exists():
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
