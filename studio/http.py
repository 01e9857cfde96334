"""What every answer goes through: the content policy, and errors told in the form that was asked for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
)
from django.shortcuts import render

from studio.lib import request_ids, trouble
from studio.lib.errors import Invalid, StudioError, TooManyAttempts
from studio.lib.http import PROGRAM_PATHS, program_error

log = logging.getLogger(__name__)

# The two style hashes are Plotly's: an empty sheet, and the rules that it inserts into it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src-elem 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


# What a browser says a request is for (Sec-Fetch-Dest) when it would run or obey the answer.
_CODE = {"script", "style", "worker", "sharedworker", "serviceworker", "audioworklet", "xslt"}


class ContentSecurityPolicy:
    """Sets the policy on every answer that has none of its own.

    To it, 'self' is also a file that somebody has logged: what programs read is never loaded as code.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked_as_code = request.headers.get("Sec-Fetch-Dest") in _CODE
        if asked_as_code and request.path.startswith(PROGRAM_PATHS):
            told = "This is data. A page does not load it as code."
            return program_error(request.path, "PERMISSION_DENIED", told, 403)
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class Errors:
    """Turns a StudioError of a page into a page that says it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _holds_nul(request):
            return _told(request, Invalid("An address with a NUL character names nothing."))
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, failure: Exception) -> HttpResponse | None:
        return _told(request, failure) if isinstance(failure, StudioError) else None


def _told(request: HttpRequest, failure: StudioError) -> HttpResponse:
    if request.path.startswith(PROGRAM_PATHS):
        return program_error(request.path, failure.code.upper(), failure.message, failure.status)
    response = error_page(request, failure.status, failure.message)
    if isinstance(failure, TooManyAttempts):
        response["Retry-After"] = str(failure.retry_after)
    return response


def _holds_nul(request: HttpRequest) -> bool:
    """PostgreSQL knows no NUL: to ask it for one is an error. (MLflow's routes answer for themselves.)"""
    if request.path.startswith(PROGRAM_PATHS) and not request.path.startswith("/api/v1/"):
        return False
    return "\0" in request.path or "%00" in request.META.get("QUERY_STRING", "")


def error_page(request: HttpRequest, status: int, message: str) -> HttpResponse:
    template = "_error.html" if request.headers.get("HX-Request") else "error.html"
    return render(request, template, {"status": status, "message": message}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = "This request cannot be read."
    if isinstance(exception, RequestDataTooBig):
        largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024 // 1024
        message = f"This form holds too much: Studio takes {largest} MB. Send large bodies with a program."
    if request.path.startswith(PROGRAM_PATHS):
        return program_error(request.path, "BAD_REQUEST", message, 400)
    if not hasattr(request, "user"):  # the host's name is wrong: nobody has been asked who he is
        return HttpResponse(message, status=400, content_type="text/plain; charset=utf-8")
    return error_page(request, 400, message)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = f"There is no page at {request.path}."
    if request.path.startswith(PROGRAM_PATHS):
        return program_error(request.path, "ENDPOINT_NOT_FOUND", message, 404)
    return error_page(request, 404, message)


def server_error(request: HttpRequest) -> HttpResponse:
    if words := trouble.told(sys.exception()):
        return _refused_by_the_machine(request, words)
    message = (
        "Something went wrong inside Studio. The log of the web process has the details: "
        f"quote this id to who looks after Studio: {request_ids.current()}"
    )
    if request.path.startswith(PROGRAM_PATHS):
        return program_error(request.path, "INTERNAL_ERROR", message, 500)
    return HttpResponse(message, status=500, content_type="text/plain; charset=utf-8")


def _refused_by_the_machine(request: HttpRequest, words: str) -> HttpResponse:
    """Nobody's mistake, and it may be repeated. In a line of the log: many are refused at once."""
    log.warning("refused path=%s failure=%s", request.path, type(sys.exception()).__name__)
    if request.path.startswith(PROGRAM_PATHS):
        response: HttpResponse = program_error(request.path, "TEMPORARILY_UNAVAILABLE", words, 503)
    else:  # as text: to draw a page the database would be asked
        response = HttpResponse(words, status=503, content_type="text/plain; charset=utf-8")
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    log.warning("csrf refused path=%s reason=%s", request.path, reason)
    return error_page(
        request,
        403,
        "This form was too old or came from elsewhere. Load the page again and repeat.",
    )
