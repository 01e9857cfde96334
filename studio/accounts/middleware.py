"""Who is asking, and the rule that nobody is let in unsigned unless a view says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from studio.accounts.credentials import user_from_header
from studio.lib.errors import TooManyAttempts
from studio.lib.http import METRICS_PATH, PROGRAM_PATHS, program_error, same_origin

_SAFE = {"GET", "HEAD", "OPTIONS"}


class Credentials:
    """Sets request.user from the Authorization header, which goes before a session. Wrong ones are 401."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        header = request.headers.get("Authorization", "")
        if request.path == METRICS_PATH:
            header = ""
        request.by_session = by_session = not header or _is_remembered(request, header)  # type: ignore[attr-defined]
        if header:
            try:
                user = user_from_header(header, request)
            except TooManyAttempts as locked:
                return too_many_attempts(request, locked)
            if user is None:
                return unauthenticated(
                    request, "The user name and password, or the token, are not valid."
                )
            request.user = user
            # Other sites cannot make a visitor's browser send a header of a program: nothing to forge.
            request._dont_enforce_csrf_checks = not by_session  # type: ignore[attr-defined]
        response = self.get_response(request)
        patch_vary_headers(response, ["Authorization"])
        return response


def _is_remembered(request: HttpRequest, header: str) -> bool:
    """Whether a browser sends a password that its own prompt once asked for: on any site's behalf, as a cookie."""
    of_browser = "Sec-Fetch-Site" in request.headers or "Origin" in request.headers
    return of_browser and header[:5].lower() == "basic"


class SignInRequired(LoginRequiredMiddleware):
    """Pages send strangers to the sign-in page; programs get 401."""

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., Any],
        view_args: Any,
        view_kwargs: Any,
    ) -> HttpResponseBase | None:
        refused = super().process_view(request, view_func, view_args, view_kwargs)
        if refused is not None:
            return refused
        # REST framework declares its views open and asks by itself: here they are closed like all others.
        if not request.user.is_authenticated and hasattr(view_func, "cls"):
            return self.handle_no_permission(request, view_func)
        # MLflow's routes carry no CSRF token: a browser's session may write only from our own pages.
        forgeable = request.by_session and request.method not in _SAFE  # type: ignore[attr-defined]
        if forgeable and request.path.startswith(PROGRAM_PATHS) and not same_origin(request):
            told = "This request did not come from Studio's own pages."
            return program_error(request.path, "PERMISSION_DENIED", told, 403)
        return None

    def handle_no_permission(  # type: ignore[override]  # a program gets an answer, not a redirect
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseBase:
        if request.path.startswith(PROGRAM_PATHS):
            return unauthenticated(
                request,
                "Sign in: send a token as bearer, or a user name with a password or token.",
            )
        if request.headers.get("HX-Request"):
            response = HttpResponse(status=401)
            response["HX-Redirect"] = "/login/"
            return response
        return super().handle_no_permission(request, view_func)


def too_many_attempts(request: HttpRequest, locked: TooManyAttempts) -> HttpResponse:
    response = program_error(request.path, locked.code.upper(), locked.message, locked.status)
    response["Retry-After"] = str(locked.retry_after)
    return response


def unauthenticated(request: HttpRequest, message: str) -> HttpResponse:
    response = program_error(request.path, "UNAUTHENTICATED", message, 401)
    # A page's own request brings up no prompt: what is entered there outlasts signing out.
    scheme = "Bearer" if request.path.startswith("/mlflow/") else "Basic"
    response["WWW-Authenticate"] = f'{scheme} realm="Studio"'
    return response
