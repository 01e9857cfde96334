"""The lane's routes on the way through Django: for sessions and passwords, in the place of MLflow's server.

Tokens have a shorter way (studio.express).
"""

from __future__ import annotations

from django.http import HttpResponse

from studio.lib.bodies import LARGEST, read_body
from studio.lib.http import mlflow_error
from studio.mlflow.guards import Call
from tracking.lane import entry


def answered(call: Call) -> HttpResponse:
    """A guard that answers always. Raises StudioError and ConnectionAbortedError as `read_body` does."""
    request = call.request
    route = request.path_info.partition("2.0/")[2]
    raw = read_body(request.META, LARGEST)
    told = entry.answer(route, call.user.pk, None, raw, request.META.get("CONTENT_TYPE"))
    if told is None:  # since the request began
        return mlflow_error("UNAUTHENTICATED", "This user is no longer let in.", 401)
    response = HttpResponse(told.body, status=told.status, content_type=told.content_type)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
