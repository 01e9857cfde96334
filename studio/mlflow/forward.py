"""The reference lane: hands a request over to MLflow's own server, and its answer back, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import quote

import httpx
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from studio.accounts.models import User
from studio.lib.errors import Unavailable
from studio.lib.http import mlflow_error
from studio.mlflow import identity, upstream

_CHUNK = 64 * 1024
# Belong to one connection (RFC 9110, 7.6.1), or say who is asking: neither is passed on.
_NOT_SENT = {
    "connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "authorization", "cookie", "content-length", "host", identity.HEADER.lower(), "x-mlflow-authorization",
}  # fmt: skip
_NOT_RETURNED = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "date",
    "server",
    "set-cookie",
}
# Users are Studio's: MLflow's own sign-up and the routes that would write its table alone are closed.
_CLOSED = re.compile(
    r"/(signup|.*mlflow/users/(create|create-ui|update-password|update-admin|delete))$"
)


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


# httpx resolves them, and so would lead around the rules for paths, here and in MLflow's own checks.
_DOTS = re.compile(r"/\.\.?(/|$)")


@csrf_exempt  # programs send no CSRF token; SignInRequired refuses forged session requests
def forward(request: HttpRequest) -> HttpResponseBase:
    """Answer with what MLflow's server answers to the same request from the same user."""
    if _CLOSED.search(request.path):
        return mlflow_error(
            "PERMISSION_DENIED",
            "Users are managed by Studio's administrators, not through MLflow.",
            403,
        )
    if _DOTS.search(request.path):
        told = "A path must not have '.' or '..' as a part."
        return mlflow_error("INVALID_PARAMETER_VALUE", told, 400)
    try:
        answer = upstream.send(_request_for(request))
    except Unavailable as failure:
        return mlflow_error("TEMPORARILY_UNAVAILABLE", failure.message, failure.status)
    except (
        ConnectionAbortedError
    ) as failure:  # MLflow has seen the broken connection and keeps nothing
        return mlflow_error("BAD_REQUEST", str(failure), 400)
    response = StreamingHttpResponse(
        _pieces(answer), status=answer.status_code, reason=answer.reason_phrase
    )
    del response.headers["Content-Type"]  # Django's: MLflow's own counts, or none
    for name, value in answer.headers.items():  # one that comes twice is joined to a list
        if name not in _NOT_RETURNED:
            response.headers[name] = value
    if "Location" in response.headers:  # MLflow knows itself by the name that Studio calls it by
        response.headers["Location"] = response.headers["Location"].removeprefix("http://mlflow")
    # Data, artifacts among it that anybody may have written: never a document of this site.
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _request_for(request: HttpRequest) -> httpx.Request:
    assert isinstance(request.user, User)  # SignInRequired lets nobody else through
    environ = request.META
    path = quote(request.path_info, safe="/~!$&'()*+,;=:@")
    query = environ.get("QUERY_STRING", "")
    headers = {
        name: value for name, value in request.headers.items() if name.lower() not in _NOT_SENT
    }
    headers[identity.HEADER] = identity.header_for(
        request.user.get_username(), settings.IDENTITY_KEY
    )
    headers["Host"] = "mlflow"
    length = environ.get("CONTENT_LENGTH", "")
    body: Iterator[bytes] | None = None
    if length.isdecimal():
        headers["Content-Length"] = length
        body = _sent(environ["wsgi.input"], int(length))
    elif "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        headers["Transfer-Encoding"] = "chunked"
        body = _sent(environ["wsgi.input"], None)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    url = f"http://mlflow{path}" + (f"?{query}" if query else "")
    return httpx.Request(request.method or "GET", url, headers=raw, content=body)


def _sent(source: _Readable, length: int | None) -> Iterator[bytes]:
    """Yield the body as it comes. Raises ConnectionAbortedError when it ends before its length.

    An input that ends early reads as empty bytes: taken for the end, half a file would be stored.
    """
    left = length
    while left is None or left > 0:
        piece = source.read(_CHUNK if left is None else min(_CHUNK, left))
        if not piece:
            break
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise ConnectionAbortedError("the client went away before it had sent everything")


def _pieces(answer: httpx.Response) -> Iterator[bytes]:
    """Yield the answer's bytes as they are on the wire, and let go of the connection however it ends."""
    try:
        yield from answer.iter_raw()  # not gathered: an event is passed on when it comes
    finally:
        answer.close()
