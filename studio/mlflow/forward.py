"""The reference lane: hands a request over to MLflow's own server, and its answer back, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

import httpx
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from studio.accounts.models import User
from studio.lib.bodies import LARGEST, length_of, pieces
from studio.lib.errors import StudioError
from studio.lib.http import mlflow_error
from studio.mlflow import identity, upstream
from studio.mlflow.answers import Whole, content_of
from studio.mlflow.guards import TABLE, denied, refusal
from studio.mlflow.run_writes import RunWrite

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
        write = RunWrite(request, path)
        answer = upstream.send(_request_for(request, path, write))
        if guarded and guarded.hides(answer.status_code):
            answer.close()
            return denied()
        watched = bool(guarded and guarded.waits and answer.is_success)
        named = write.waits and answer.is_success
        content = Whole(answer) if watched or named else content_of(answer)
    except StudioError as failure:
        return refusal(failure)
    except (
        ConnectionAbortedError
    ) as failure:  # MLflow has seen the broken connection and keeps nothing
        return mlflow_error("BAD_REQUEST", str(failure), 400)
    if guarded and watched:  # small JSON; nobody is told of it before the guards are
        guarded.after(b"".join(content))
    if answer.is_success:
        write.done(content)
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


def _request_for(request: HttpRequest, path: str, write: RunWrite) -> httpx.Request:
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
    length = length_of(environ)
    if length is None:
        headers["Transfer-Encoding"] = "chunked"
    elif environ.get("CONTENT_LENGTH"):
        headers["Content-Length"] = str(length)
    body = None if length == 0 else pieces(environ, LARGEST)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    url = f"http://mlflow{quote(path, safe=_PATH)}" + (f"?{query}" if query else "")
    content = None if body is None else write.overhear(body)
    return httpx.Request(request.method or "GET", url, headers=raw, content=content)


def _leads_elsewhere(path: str) -> bool:
    """Whether the path holds a `.` or `..`, however often it has been encoded: MLflow decodes it to the end."""
    for _ in range(10):  # what is encoded more often than that, MLflow does not decode either
        if _DOTS.search(path.replace("\\", "/")):
            return True
        path, before = unquote(path), path
        if path == before:
            return False
    return True
