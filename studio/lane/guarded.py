"""The lane's routes on the way through Django: for sessions and passwords, in the place of MLflow's server.

Tokens have a shorter way (studio.express).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse

from studio.lane import LANES, Lane, entry
from studio.lib.bodies import LARGEST, read_body, replace
from studio.lib.http import mlflow_error
from studio.mlflow.guards import Call, Table

if TYPE_CHECKING:
    from studio.lane.answers import Answer


def register(table: Table, lane: Lane) -> None:
    """Put the lane's routes into its table, and the lane before those of MLflow's server."""
    LANES.append(lane)
    for api in ("/api/2.0", "/ajax-api/2.0"):
        for route in lane.writing:
            table.add("POST", f"{api}/{route}", before=answered, streams=True)
        for route, methods in lane.reading.items():
            if route in lane.of_pages and api == "/api/2.0":
                continue
            for method in methods:
                table.add(method, f"{api}/{route}", before=looked_up, streams=True)


def answered(call: Call) -> HttpResponse:
    """A guard that answers always. Raises StudioError and ConnectionAbortedError as `read_body` does."""
    request = call.request
    route = request.path_info.partition("2.0/")[2]
    raw = read_body(request.META, LARGEST)
    told = entry.answer(route, call.user.pk, None, raw, request.META.get("CONTENT_TYPE"))
    if told is None:  # since the request began
        return mlflow_error("UNAUTHENTICATED", "This user is no longer let in.", 401)
    return _response(told)


def looked_up(call: Call) -> HttpResponse | None:
    """A guard that answers what it can. Raises as `answered` does."""
    request = call.request
    if request.method == "HEAD":
        return None
    route = request.path_info.partition("2.0/")[2]
    raw = read_body(request.META, LARGEST)
    replace(request.META, raw)
    query, kind = request.META.get("QUERY_STRING", ""), request.META.get("CONTENT_TYPE")
    told = entry.look(route, call.user.pk, None, (request.method or "GET", query, raw, kind))
    return None if told is None else _response(told)


def _response(told: Answer) -> HttpResponse:
    response = HttpResponse(told.body, status=told.status, content_type=told.content_type)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
