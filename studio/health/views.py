"""The administrators' page of how Studio is, and what Prometheus reads."""

from __future__ import annotations

from hmac import compare_digest

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from studio.accounts.user_access import administrators_only
from studio.health import exposing
from studio.health.report import report
from studio.lib import metrics


@administrators_only
@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    template = "_health.html" if request.headers.get("HX-Request") else "health.html"
    return render(request, f"administration/{template}", {"report": report()})


@login_not_required
@never_cache
@require_safe
def exposition(request: HttpRequest) -> HttpResponse:
    """404 unless a token is set: it is the only way in, for programs alone."""
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "").encode()
    if not compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(
            "Send STUDIO_METRICS_TOKEN as bearer.\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": "Bearer"},
        )
    text = metrics.exposition(exposing.families())
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE)
