"""Small rules of HTTP that several apps share."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, JsonResponse

# Where programs call: no redirect to a sign-in page, no CSRF token, errors as JSON.
_PROGRAMS = (
    "/api/",
    "/ajax-api/",
    "/graphql",
    "/v1/",
    "/get-artifact",
    "/model-versions/",
    "/gateway/",
    "/version",
)
PROGRAM_PATHS = _PROGRAMS + tuple(f"/mlflow{path}" for path in _PROGRAMS)
# Answered to a token of its own, which is no user's.
METRICS_PATH = "/metrics"


def same_origin(request: HttpRequest) -> bool:
    """Whether a browser says that the request came from one of Studio's own pages.

    Sec-Fetch-Site is set by the browser itself and cannot be forged by a page; Origin serves older ones.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    own = {urlsplit(settings.PUBLIC_URL).netloc, request.get_host()}
    try:
        return bool(origin) and urlsplit(origin).netloc in own
    except ValueError:  # no address at all
        return False


def gateway_url() -> str:
    """Where Studio itself reaches the scoring gateway: past the public address, whose proxy may not know us."""
    return str(settings.GATEWAY_URL) or f"http://{settings.SCORING_ADDRESS}"


def mlflow_error(error_code: str, message: str, status: int) -> JsonResponse:
    """An error in the shape of MLflow's REST API."""
    return JsonResponse({"error_code": error_code, "message": message}, status=status)


def error_body(code: str, message: str, *, detail: str = "") -> dict[str, dict[str, str]]:
    """An error in the shape of /api/v1."""
    return {"error": {"code": code, "message": message, "step": "", "detail": detail}}


def program_error(path: str, code: str, message: str, status: int) -> JsonResponse:
    """An error in the words of whose API was asked: Studio's at /api/v1, else MLflow's. `code` is MLflow's."""
    if path.startswith("/api/v1/"):
        return JsonResponse(error_body(code.lower(), message), status=status)
    return mlflow_error(code, message, status)
