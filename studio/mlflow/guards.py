"""The guard table: what Studio does before and after MLflow's server answers, route by route.

A route is written without its address's beginning, `mlflow/users/create` for `/api/2.0/mlflow/users/create`:
its twin under `/ajax-api/` and every version are meant as well. `<name>` stands for one part of the path,
`<path:name>` for several. A route that begins with `/` is meant as it is. Apps fill the table at
`AppConfig.ready`, each from a `guards` module of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from studio.accounts.models import User
from studio.lib.bodies import read_body, replace
from studio.lib.errors import StudioError
from studio.lib.http import mlflow_error
from studio.mlflow.services import MlflowRefused

ANY = "*"  # method
_API = r"/(?:ajax-)?api/[0-9]+\.[0-9]+/"
_ARGUMENT = re.compile(r"<(path:)?(\w+)>")
_MAX_BODY = 1024 * 1024
JSON = re.compile(r"application/(json|[^;]+\+json)\s*(;|$)", re.IGNORECASE)
# MLflow's word for what a status means.
_CODES = {
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}

Before = Callable[["Call"], HttpResponseBase | None]
After = Callable[["Call", Any], None]


@dataclass
class Call:
    """A request to a guarded route, read as MLflow reads it. `kept` is the guards' own, from before to after."""

    request: HttpRequest
    user: User
    is_json: bool
    parameters: dict[str, Any]
    kept: dict[str, str] = field(default_factory=dict)

    def parameter(self, name: str) -> Any:
        """The value that was sent under this name. Raises in MLflow's words when there is none."""
        if name not in self.parameters:
            told = (
                f"Missing value for required parameter '{name}'. "
                "See the API docs for more information about request parameters."
            )
            raise MlflowRefused(told, 400, "INVALID_PARAMETER_VALUE")
        return self.parameters[name]


class Guard(NamedTuple):
    """`before` may answer in MLflow's place. `after` is given MLflow's answer, parsed, if that is 2xx.

    `hides`: MLflow tells of what is not there (404) before it asks who may see it (403), so a stranger could
    tell the two apart. He is told 403 of both; an administrator gets MLflow's own answer.
    `streams`: `before` reads the body itself.
    """

    method: str
    pattern: re.Pattern[str]
    before: Before | None
    after: After | None
    hides: bool
    streams: bool


class Guarded(NamedTuple):
    """A call and the guards on its route, in the order in which they were added."""

    call: Call
    guards: list[Guard]

    def before(self) -> HttpResponseBase | None:
        """The first answer that a guard gives, if one does: then MLflow is not asked."""
        for guard in self.guards:
            answer = guard.before(self.call) if guard.before else None
            if answer is not None:
                return answer
        return None

    def hides(self, status: int) -> bool:
        """Whether this status of MLflow's tells more than the user may know."""
        hidden = any(guard.hides for guard in self.guards)
        return hidden and status == 404 and not self.call.user.is_administrator

    @property
    def waits(self) -> bool:
        """Whether a guard wants to see MLflow's answer."""
        return any(guard.after for guard in self.guards)

    def after(self, content: bytes) -> None:
        """Tell every guard that MLflow has done it, and what it has answered."""
        for guard in self.guards:
            if guard.after:
                guard.after(self.call, _parsed(content))


class Table:
    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self._any = re.compile(r"(?!)")

    def add(
        self,
        method: str,
        route: str,
        *,
        before: Before | None = None,
        after: After | None = None,
        hides: bool = False,
        streams: bool = False,
    ) -> None:
        """Put a guard on a route. Unless it streams, the body is read whole for it, up to 1 MB: MLflow's small JSON."""
        pattern = re.compile(pattern_of(route), re.DOTALL)
        guard = Guard(method, pattern, before, after, hides, streams)
        self.guards.append(guard)
        unnamed = (re.sub(r"\?P<\w+>", "?:", known.pattern.pattern) for known in self.guards)
        self._any = re.compile("|".join(unnamed), re.IGNORECASE | re.DOTALL)

    def on(self, method: str, path: str) -> list[Guard]:
        """The guards on this method and path, as MLflow will see it. HEAD is answered as GET is."""
        asked = {"GET" if method == "HEAD" else method, ANY}
        return [g for g in self.guards if g.method in asked and g.pattern.fullmatch(path)]

    def is_misspelt(self, path: str) -> bool:
        """Whether it is a guarded route, but for case, slashes or encoding: MLflow must not be asked.

        MLflow knows no such path today. If its router became lenient, the guards would still stand.
        """
        if not self._any.fullmatch(_plain(path)):
            return False
        return not any(guard.pattern.fullmatch(path) for guard in self.guards)

    def guarded(self, request: HttpRequest, path: str) -> Guarded | None:
        """What stands before this request to this path of MLflow's, if anything does.

        Raises MlflowRefused for a path that is misspelt, and as `_body` does.
        """
        if self.is_misspelt(path):
            raise MlflowRefused(f"There is no {path} in MLflow's API.", 404, "ENDPOINT_NOT_FOUND")
        method = request.method or "GET"
        guards = self.on(method, path)
        if not guards:
            return None
        match = guards[0].pattern.fullmatch(path)
        assert match is not None  # on() has found it
        assert isinstance(request.user, User)  # SignInRequired lets nobody else through
        is_json = bool(JSON.match(request.META.get("CONTENT_TYPE", "")))
        streams = any(guard.streams for guard in guards)
        sent = {} if streams else _parameters(request, is_json)
        return Guarded(Call(request, request.user, is_json, sent | match.groupdict()), guards)


TABLE = Table()


def pattern_of(route: str) -> str:
    """The regular expression for the addresses of a route."""
    text, end = "" if route.startswith("/") else _API, 0
    for found in _ARGUMENT.finditer(route):
        several, name = found.groups()
        text += (
            re.escape(route[end : found.start()]) + f"(?P<{name}>{'.+' if several else '[^/]+'})"
        )
        end = found.end()
    return text + re.escape(route[end:])


def refusal(failure: StudioError) -> JsonResponse:
    """An error of Studio's in the words of MLflow's API."""
    if isinstance(failure, MlflowRefused):
        return mlflow_error(failure.error_code, failure.message, failure.status)
    code = _CODES.get(failure.status, "INVALID_PARAMETER_VALUE")
    return mlflow_error(code, failure.message, failure.status)


def denied() -> HttpResponse:
    """What MLflow answers to who may not."""
    return HttpResponse("Permission denied", status=403)


def closed(told: str) -> Before:
    """A guard that refuses everybody, and says why."""

    def before(call: Call) -> HttpResponse:
        return mlflow_error("PERMISSION_DENIED", told, 403)

    return before


def _plain(path: str) -> str:
    """The path without what a lenient router might overlook."""
    while "%" in path and (decoded := unquote(path)) != path:
        path = decoded
    parts = [part.partition(";")[0].strip() for part in path.replace("\\", "/").split("/")]
    return "/" + "/".join(filter(None, parts))


def _parameters(request: HttpRequest, is_json: bool) -> dict[str, Any]:
    """What MLflow takes for the request's parameters: JSON, or of GET and DELETE the query."""
    body = _body(request)
    if is_json and request.method != "GET":
        sent = _parsed(body)
        return sent if isinstance(sent, dict) else {}
    if request.method in ("GET", "HEAD", "DELETE"):
        query = parse_qs(request.META.get("QUERY_STRING", ""), keep_blank_values=True)
        return {name: values[0] for name, values in query.items()}
    return {}


def _body(request: HttpRequest) -> bytes:
    """Read the body, and put it back to be sent on. Raises TooLarge; ConnectionAbortedError if it ends early."""
    content = read_body(request.META, _MAX_BODY)
    if content:
        replace(request.META, content)
    return content


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
