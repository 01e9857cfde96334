"""The guard table, with guards of the tests' own before a server where MLflow's would be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from studio.lib import errors
from studio.mlflow import forward as forwarding
from studio.mlflow.guards import ANY, Call, Table
from studio.mlflow.services import MlflowRefused
from tests.support.upstream import Answer, Upstream, listening

pytestmark = pytest.mark.django_db
ROUTE = "mlflow/things/create"
PATH = f"/api/2.0/{ROUTE}"
OURS = {"Sec-Fetch-Site": "same-origin"}
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture
def upstream(server: Upstream) -> Upstream:
    server.seen.clear()
    server.answer = Answer()
    return server


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """An empty one, in the real one's place."""
    table = Table()
    monkeypatch.setattr(forwarding, "TABLE", table)
    return table


class Told(NamedTuple):
    status: int
    content: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.content)["error_code"])


Send = Callable[..., Told]


@pytest.fixture
def send(as_alice: Client) -> Send:
    def send(
        method: str = "POST", path: str = PATH, body: bytes = b'{"a": 1}', **more: Any
    ) -> Told:
        kind = more.pop("content_type", "application/json")
        response: Any = as_alice.generic(method, path, body, kind, headers=OURS, **more)
        return Told(response.status_code, response.getvalue())

    return send


def never(call: Call, *_: Any) -> None:
    raise AssertionError("this guard must not be asked")


# Which routes a guard stands on.


@pytest.mark.parametrize(
    ("route", "path", "found"),
    [
        ("mlflow/x/create", "/api/2.0/mlflow/x/create", True),
        ("mlflow/x/create", "/ajax-api/2.0/mlflow/x/create", True),
        ("mlflow/x/create", "/api/3.0/mlflow/x/create", True),
        ("mlflow/x/create", "/ajax-api/10.12/mlflow/x/create", True),
        ("mlflow/x/create", "/api/2.0/mlflow/x/create2", False),
        ("mlflow/x/create", "/api/2.0/mlflow/x/create/y", False),
        ("mlflow/x/create", "/api/2.0/mlflow/x/create\n", False),
        ("mlflow/x/create", "/api/2.0/y/mlflow/x/create", False),
        ("mlflow/x/create", "/mlflow/x/create", False),
        ("mlflow/x.y", "/api/2.0/mlflow/xzy", False),
        ("/signup", "/signup", True),
        ("/signup", "/api/2.0/signup", False),
        ("mlflow/x/<name>/tags", "/api/2.0/mlflow/x/a b\n/tags", True),
        ("mlflow/x/<name>/tags", "/api/2.0/mlflow/x/a/b/tags", False),
        ("mlflow/x/<name>/tags", "/api/2.0/mlflow/x//tags", False),
        ("mlflow/x/<path:name>/tags", "/api/2.0/mlflow/x/a/b\n/tags", True),
    ],
)
def test_a_guard_stands_on_its_route_in_every_version_and_nowhere_else(
    route: str, path: str, found: bool
) -> None:
    table = Table()
    table.add("POST", route, before=never)
    assert bool(table.on("POST", path)) is found


@pytest.mark.parametrize(
    ("method", "asked", "found"),
    [
        ("POST", "POST", True),
        ("POST", "PUT", False),
        ("GET", "HEAD", True),
        (ANY, "PATCH", True),
        (ANY, "HEAD", True),
    ],
)
def test_a_guard_stands_on_its_method(method: str, asked: str, found: bool) -> None:
    table = Table()
    table.add(method, ROUTE, before=never)
    assert bool(table.on(asked, PATH)) is found


SPELLINGS = [
    "/api/2.0/mlflow/Things/create",
    "/API/2.0/mlflow/things/create",
    "/api/2.0/mlflow//things/create",
    "//api/2.0/mlflow/things/create",
    "/api/2.0/mlflow/things/create/",
    "/api/2.0/mlflow/things/create//",
    "/api/2.0/mlflow/things/create;x=1",
    "/api/2.0/mlflow/things;/create",
    "/api/2.0/mlflow/things/create\n",
    "/api/2.0/mlflow/things/ create",
    "/api/2.0/mlflow\\things\\create",
    "/api/2.0/mlflow%2Fthings/create",
    "/api/2.0/mlflow/%74hings/create",
    "/api/2.0/mlflow/%2574hings/create",
    "/api/2.0/mlflow/things/create%00".replace("%00", "%20"),
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_another_spelling_of_a_guarded_route_is_not_one_that_has_no_guard(path: str) -> None:
    table = Table()
    table.add("POST", ROUTE, before=never)
    assert table.is_misspelt(path)


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        "/ajax-api/3.0/mlflow/things/create",
        "/api/2.0/mlflow/things/search",
        "/api/2.0/mlflow-artifacts/artifacts/mlflow/things/create",
        "/api/2.0/mlflow/x/Name;1/tags",
        "/",
        "",
    ],
)
def test_what_is_spelt_as_it_should_be_is_not_misspelt(path: str) -> None:
    table = Table()
    table.add("POST", ROUTE, before=never)
    table.add("POST", "mlflow/x/<name>/tags", before=never)
    assert not table.is_misspelt(path)


def test_another_spelling_is_not_passed_on(send: Send, upstream: Upstream, table: Table) -> None:
    table.add("POST", ROUTE, before=never)
    told = send(path="/api/2.0/mlflow/things/Create/")
    assert (told.status, told.code) == (404, "ENDPOINT_NOT_FOUND")
    assert upstream.seen == []


# What a guard does.


def test_a_guard_answers_in_mlflows_place(send: Send, upstream: Upstream, table: Table) -> None:
    table.add("POST", ROUTE, before=lambda call: HttpResponse("Studio's own", status=201))
    table.add("POST", ROUTE, before=never, after=never)
    told = send()
    assert (told.status, told.content) == (201, b"Studio's own")
    assert upstream.seen == []


def test_where_no_guard_answers_mlflow_is_asked_with_the_whole_body(
    send: Send, upstream: Upstream, table: Table
) -> None:
    asked: list[str] = []
    table.add("POST", ROUTE, before=lambda call: asked.append("first"))
    table.add("POST", ROUTE, before=lambda call: asked.append("second"))
    body = json.dumps({"a": "x" * 300_000}).encode()
    assert send(body=body).status == 200
    assert asked == ["first", "second"]
    assert upstream.last.whole
    assert bytes(upstream.last.body) == body
    assert upstream.last.header("content-length") == [str(len(body))]


def test_a_body_of_unknown_length_is_seen_by_the_guard_and_by_mlflow(
    send: Send, upstream: Upstream, table: Table
) -> None:
    seen: list[Any] = []
    table.add("POST", ROUTE, before=lambda call: seen.append(call.parameters))
    body = b'{"name": "chunked"}'
    chunked = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input": BytesIO(body),
    }
    assert send(**chunked).status == 200
    assert seen == [{"name": "chunked"}]
    assert bytes(upstream.last.body) == body


@pytest.mark.parametrize("known", [True, False])
def test_a_body_that_is_too_long_for_a_guard_is_refused(
    send: Send, upstream: Upstream, table: Table, known: bool
) -> None:
    table.add("POST", ROUTE, before=never)
    body = b" " * (MEGABYTE + 1)
    more: dict[str, Any] = {} if known else {
        "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input": BytesIO(body),
    }  # fmt: skip
    told = send(body=body, **more)
    assert (told.status, told.code) == (413, "INVALID_PARAMETER_VALUE")
    assert upstream.seen == []


def test_a_body_of_just_the_longest_kind_is_taken(
    send: Send, upstream: Upstream, table: Table
) -> None:
    table.add("POST", ROUTE, before=lambda call: None)
    assert send(body=b" " * MEGABYTE).status == 200
    assert len(upstream.last.body) == MEGABYTE


def test_a_body_that_ends_early_is_neither_judged_nor_passed_on(
    send: Send, upstream: Upstream, table: Table
) -> None:
    table.add("POST", ROUTE, before=never)
    told = send(**{"wsgi.input": BytesIO(b'{"a"'), "CONTENT_LENGTH": "8"})
    assert (told.status, told.code) == (400, "BAD_REQUEST")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("status", "is_told"),
    [(200, True), (201, True), (204, True), (302, False), (400, False), (403, False), (500, False)],
)
def test_a_guard_is_told_of_what_mlflow_has_done_and_not_of_what_it_has_refused(
    send: Send, upstream: Upstream, table: Table, status: int, is_told: bool
) -> None:
    answers: list[Any] = []
    table.add("POST", ROUTE, after=lambda call, answer: answers.append(answer))
    body = b"" if status == 204 else b'{"role": {"id": 7}}'
    upstream.answer = Answer(status, [("content-type", "application/json")], body)
    told = send()
    assert (told.status, told.content) == (status, body)
    assert answers == ([None if status == 204 else {"role": {"id": 7}}] if is_told else [])


def test_a_guard_keeps_what_it_knew_before_until_after(
    send: Send, upstream: Upstream, table: Table
) -> None:
    def before(call: Call) -> None:
        call.kept["name"] = call.parameter("name")

    told: list[str] = []
    table.add(
        "POST", ROUTE, before=before, after=lambda call, answer: told.append(call.kept["name"])
    )
    send(body=b'{"name": "x"}')
    assert told == ["x"]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (("POST", "application/json", b'{"a": 1}', "a=2&b=3"), {"a": 1}),
        (("PATCH", "Application/JSON; charset=utf-8", b'{"a": 1, "a": 2}', ""), {"a": 2}),
        (("POST", "application/vnd.x+json", b'{"a": null}', ""), {"a": None}),
        (("POST", "text/plain", b'{"a": 1}', ""), {}),
        (("POST", "application/jsonp", b'{"a": 1}', ""), {}),
        (("POST", "application/json", b"[1]", ""), {}),
        (("POST", "application/json", b"{", ""), {}),
        (("POST", "application/json", b"\xff", ""), {}),
        (("POST", "application/json", b"[" * 100_000, ""), {}),
        (("POST", "application/json", '{"ä": "ö"}'.encode("utf-16"), ""), {"ä": "ö"}),
        (("DELETE", "application/json", b'{"a": 1}', "a=2"), {"a": 1}),
        (("DELETE", "text/plain", b'{"a": 1}', "a=2&a=3&b="), {"a": "2", "b": ""}),
        (("GET", "application/json", b'{"a": 1}', "a=%20x"), {"a": " x"}),
    ],
)
def test_parameters_are_read_as_mlflow_reads_them(
    send: Send,
    upstream: Upstream,
    table: Table,
    sent: tuple[str, str, bytes, str],
    read: dict[str, Any],
) -> None:
    method, kind, body, query = sent
    seen: list[Any] = []
    table.add(ANY, ROUTE, before=lambda call: seen.append(call.parameters))
    send(method, body=body, content_type=kind, QUERY_STRING=query)
    assert seen == [read]


def test_an_argument_of_the_path_counts_and_not_what_the_body_says_of_it(
    send: Send, upstream: Upstream, table: Table
) -> None:
    seen: list[Any] = []
    table.add("POST", "mlflow/<name>/create", before=lambda call: seen.append(call.parameters))
    send(body=b'{"name": "other", "x": 1}')
    assert seen == [{"name": "things", "x": 1}]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (errors.Invalid("No."), 400, "INVALID_PARAMETER_VALUE"),
        (errors.Forbidden("No."), 403, "PERMISSION_DENIED"),
        (errors.NotFound("No."), 404, "RESOURCE_DOES_NOT_EXIST"),
        (errors.Conflict("No."), 409, "RESOURCE_CONFLICT"),
        (errors.StateConflict("No."), 409, "RESOURCE_CONFLICT"),
        (errors.TooManyAttempts("No.", retry_after=9), 429, "REQUEST_LIMIT_EXCEEDED"),
        (errors.Unavailable("No."), 503, "TEMPORARILY_UNAVAILABLE"),
        (MlflowRefused("No.", 400, "RESOURCE_ALREADY_EXISTS"), 400, "RESOURCE_ALREADY_EXISTS"),
    ],
)
def test_what_a_guard_refuses_is_said_in_the_words_of_mlflow(
    send: Send, upstream: Upstream, table: Table,
    failure: errors.StudioError, status: int, code: str,
) -> None:  # fmt: skip
    def before(call: Call) -> None:
        raise failure

    table.add("POST", ROUTE, before=before)
    told = send()
    assert told.status == status
    assert json.loads(told.content) == {"error_code": code, "message": "No."}
    assert upstream.seen == []
