"""The reference lane: hands a request over to MLflow's own server, and its answer back, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import httpx
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from studio.accounts.models import User
from studio.lib.connections import all_there
from studio.lib.errors import StudioError, Unavailable
from studio.lib.http import mlflow_error
from studio.mlflow import identity, upstream
from studio.mlflow.answers import Whole, content_of
from studio.mlflow.guards import TABLE, TooLarge, denied, refusal

_CHUNK = 64 * 1024
_PATH = "/~!$&'()*+,;=:@"  # may stand in a path as they are
# Belong to one connection (RFC 9110, 7.6.1), or say who is asking: neither is passed on.
_NOT_SENT = {
    "connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "authorization", "cookie", "content-length", "host", identity.HEADER.lower(), "x-mlflow-authorization", "x-request-id",
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


# httpx resolves them, and so would lead around the rules for paths, here and in MLflow's own checks.
_DOTS = re.compile(r"/\.\.?(/|$)")
# MLflow passes these bodies on as they come. Every other it holds in memory, some three times over.
_STREAMED = re.compile(r"/(ajax-)?api/2\.0/mlflow-artifacts/artifacts/.")
_LARGEST = 64 * 1024 * 1024


@csrf_exempt  # programs send no CSRF token; SignInRequired refuses forged session requests
def forward(request: HttpRequest, path: str = "") -> HttpResponseBase:
    """Answer with what MLflow's server answers to the same request from the same user.

    `path` is MLflow's, where it is not that of the request.
    """
    path = path or request.path_info
    if _leads_elsewhere(path):
        told = "A path must not have '.' or '..' as a part."
        return mlflow_error("INVALID_PARAMETER_VALUE", told, 400)
    try:
        guarded = TABLE.guarded(request, path)
        if guarded and (told_instead := guarded.before()):
            return told_instead
        answer = upstream.send(_request_for(request, path))
        if guarded and guarded.hides(answer.status_code):
            answer.close()
            return denied()
        watched = bool(guarded and guarded.waits and answer.is_success)
        content = Whole(answer) if watched else content_of(answer)
    except StudioError as failure:
        return refusal(failure)
    except (
        ConnectionAbortedError
    ) as failure:  # MLflow has seen the broken connection and keeps nothing
        return mlflow_error("BAD_REQUEST", str(failure), 400)
    if guarded and watched:  # small JSON; nobody is told of it before the guards are
        guarded.after(b"".join(content))
    response = _passed_on(answer, content)
    if isinstance(content, Whole) and request.method != "HEAD":
        response.headers["Content-Length"] = str(content.length)
    return response


def _passed_on(answer: httpx.Response, content: Iterable[bytes]) -> StreamingHttpResponse:
    """The answer as Studio gives it: status, headers and bytes are MLflow's."""
    response = StreamingHttpResponse(
        content, status=answer.status_code, reason=answer.reason_phrase
    )
    del response.headers["Content-Type"]  # Django's: MLflow's own counts, or none
    for name, value in answer.headers.items():  # one that comes twice is joined to a list
        if name not in _NOT_RETURNED:
            response.headers[name] = value
    if "Location" in response.headers:  # MLflow knows itself by the name that Studio calls it by
        response.headers["Location"] = response.headers["Location"].removeprefix("http://mlflow")
    # Data, artifacts among it that anybody may have written: never a document of this site.
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _request_for(request: HttpRequest, path: str) -> httpx.Request:
    assert isinstance(request.user, User)  # SignInRequired lets nobody else through
    environ = request.META
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
        body = _sent(environ, path, int(length))
    elif "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        headers["Transfer-Encoding"] = "chunked"
        body = _sent(environ, path, None)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    url = f"http://mlflow{quote(path, safe=_PATH)}" + (f"?{query}" if query else "")
    return httpx.Request(request.method or "GET", url, headers=raw, content=body)


def _sent(environ: dict[str, Any], path: str, length: int | None) -> Iterator[bytes]:
    """Yield the body as it comes. Raises when it ends before its end, or is too long for this path.

    An input that ends early reads as empty bytes: taken for the end, half a file would be stored.
    """
    most = _LARGEST if _STREAMED.match(path) is None else None
    if most is not None and length is not None and length > most:
        raise _too_large()
    sent = 0
    while length is None or sent < length:
        piece = environ["wsgi.input"].read(_CHUNK if length is None else min(_CHUNK, length - sent))
        if not piece:
            break
        sent += len(piece)
        if most is not None and sent > most:
            raise _too_large()
        yield piece
    if length is not None and sent < length:
        raise ConnectionAbortedError("the client went away before it had sent everything")
    if length is None and not all_there(int(environ["SERVER_PORT"])):
        raise Unavailable("It is not certain that everything has arrived. Send it again.")


def _too_large() -> TooLarge:
    told = f"This is more than the {_LARGEST // 2**20} MiB that one request may hold. Files go to MLflow's artifact routes."
    return TooLarge(told)


def _leads_elsewhere(path: str) -> bool:
    """Whether the path holds a `.` or `..`, however often it has been encoded: MLflow decodes it to the end."""
    for _ in range(10):  # what is encoded more often than that, MLflow does not decode either
        if _DOTS.search(path.replace("\\", "/")):
            return True
        path, before = unquote(path), path
        if path == before:
            return False
    return True
