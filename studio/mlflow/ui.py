"""MLflow's own web UI at /mlflow/, for what Studio does not draw: its page, its files, and the API they call."""

from __future__ import annotations

import re

import orjson
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from studio.lib.errors import Unavailable
from studio.lib.http import mlflow_error
from studio.mlflow.forward import forward

PREFIX = "/mlflow"
# What the UI was seen to need. Its scripts make styles; pictures and HTML that was logged are shown out of
# blobs, under this policy too: such HTML runs no script. Without 'unsafe-eval' its page that compares runs
# has no parallel coordinates, which Plotly draws by WebGL.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "frame-src blob:",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# MLflow's build names them by what is in them: an upgrade brings other names.
_HASHED = re.compile(r"/static-files/static/.+\.[0-9a-f]{8,}\.")


@require_safe
def page(request: HttpRequest) -> HttpResponseBase:
    """The UI's page and its files, which MLflow ships: unlike all else it answers, documents of this site."""
    path = request.path_info.removeprefix(PREFIX)
    response = forward(request, path)
    if response.status_code == 503 and isinstance(response, JsonResponse):
        raise Unavailable(orjson.loads(response.content)["message"])  # told as a page, to a person
    response.headers["Content-Security-Policy"] = POLICY
    if _HASHED.match(path) and response.status_code == 200:
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


@csrf_exempt  # as without the prefix
def program(request: HttpRequest) -> HttpResponseBase:
    """What the UI's scripts call. The same as without the prefix, and as carefully answered."""
    response = forward(request, request.path_info.removeprefix(PREFIX))
    if response.status_code != 403 or response.headers.get("Content-Type") == "application/json":
        return response
    response.close()
    # MLflow refuses in plain text, which its own UI takes for an internal error.
    return mlflow_error("PERMISSION_DENIED", "Permission denied", 403)
