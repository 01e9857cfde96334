"""Around every request: its id, what it counts for, and a line where it failed or was slow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from django.http import HttpRequest, HttpResponseBase

from studio.health.counters import WEB
from studio.health.routes import counted, route_of
from studio.lib import request_ids

log = logging.getLogger("studio.requests")

SLOW = 1.0  # seconds


class Observed:
    """The outermost: what it measures is what the caller waits for until the answer begins."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        known = request_ids.begin(request.META.get("HTTP_X_REQUEST_ID", ""))
        began = perf_counter()
        with WEB.in_flight:
            response = self.get_response(request)
        seconds = perf_counter() - began
        status = response.status_code
        tell(route_of(request), request.method or "", status, seconds, counted(request, status))
        response.headers[request_ids.HEADER] = known
        return response


def tell(route: str, method: str, status: int, seconds: float, counted_as: str) -> None:
    """Count a request that was answered, by `counted_as`; and log it where it failed or was slow."""
    WEB.note(counted_as, method, status, seconds)
    if route != "healthz" and (status >= 500 or seconds > SLOW):
        told = "status=%d method=%s route=%s ms=%.0f request_id=%s"
        log.warning(told, status, method, route, seconds * 1000, request_ids.current())
