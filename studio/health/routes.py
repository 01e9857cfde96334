"""What a request asked for, in as few words as there are routes: no id, no name, nothing that a caller can multiply."""

from __future__ import annotations

from django.http import HttpRequest

from studio.mlflow.routes import mlflow_route

REFUSED = (401, 403, 404)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def method_of(method: str) -> str:
    return method if method in _METHODS else "other"


def route_of(request: HttpRequest) -> str:
    """The route of Django's that matched, or MLflow's. Kept on the request: an error in it is told by it."""
    known: str = getattr(request, "studio_route", "")
    if known:
        return known
    match = request.resolver_match
    if match is None:
        route = "static files" if request.path.startswith("/static/") else "none"
    else:
        route = match.route if not match.route.startswith("^") else mlflow_route(request.path)
    request.studio_route = route or "home"  # type: ignore[attr-defined]
    return route or "home"


def counted(request: HttpRequest, status: int) -> str:
    """The route to count by. What MLflow refuses may be no route of its: words that anybody makes up."""
    match = request.resolver_match
    if match is not None and match.route.startswith("^") and status in REFUSED:
        return "mlflow refused"
    return route_of(request)
