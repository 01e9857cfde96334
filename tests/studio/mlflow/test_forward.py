"""The reference lane: the real web process before a server on MLflow's socket."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from threading import Event

import httpx
import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from studio.accounts.models import User
from studio.mlflow.identity import HEADER, username_from
from studio.mlflow.services import call
from tests.support.processes import until
from tests.support.upstream import Answer, Seen, Upstream, listening
from tests.support.web import by_hand, committed_token, serving

pytestmark = pytest.mark.django_db  # or there is no test database at all
PATH = "/api/2.0/mlflow/runs/search"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"
SECONDS = 10


@pytest.fixture(scope="module")
def token(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with committed_token("fränk o'x", django_db_blocker) as token:
        yield token


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def address(token: str) -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def upstream(server: Upstream) -> Upstream:
    server.seen.clear()
    server.answer = Answer()
    return server


@pytest.fixture
def client(address: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=SECONDS) as client:
        yield client


def test_a_request_arrives_as_it_was_sent(client: httpx.Client, upstream: Upstream) -> None:
    client.post(PATH, json={"a": 1}, headers={"X-MLFLOW-WORKSPACE": "team", "Accept": "x/y"})
    seen = upstream.last
    assert (seen.method, seen.path, bytes(seen.body)) == ("POST", PATH, b'{"a":1}')
    assert seen.header("x-mlflow-workspace") == ["team"]
    assert seen.header("accept") == ["x/y"]
    assert seen.header("content-type") == ["application/json"]
    assert seen.header("content-length") == ["7"]
    assert seen.header("host") == ["mlflow"]


def test_who_asks_is_told_in_a_signed_header_and_in_no_other(
    client: httpx.Client, upstream: Upstream
) -> None:
    forged = {
        HEADER: "admin|99999999999|00",
        HEADER.replace("-", "_"): "admin|99999999999|00",
        "X-MLFLOW-AUTHORIZATION": "Basic YWRtaW46cGFzc3dvcmQ=",
        "Cookie": "session=x",
        "Proxy-Authorization": "Basic x",
    }
    client.get(PATH, headers=forged)
    seen = upstream.last
    (claim,) = seen.header(HEADER)
    assert username_from(claim, settings.IDENTITY_KEY) == "fränk o'x"
    for name in ("authorization", "cookie", "x-mlflow-authorization", "proxy-authorization"):
        assert seen.header(name) == []
    assert not [value for _, value in seen.headers if "admin" in value or "YWRtaW4" in value]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_a_request_without_a_body_stays_without(
    client: httpx.Client, upstream: Upstream, method: str
) -> None:
    assert client.request(method, PATH).status_code == 200
    assert upstream.last.method == method
    assert upstream.last.whole
    assert upstream.last.header("transfer-encoding") == []
    assert upstream.last.header("content-length") in ([], ["0"])


@pytest.mark.parametrize(
    "path",
    [
        f"{ARTIFACT}/a%20b/gr%C3%B6%C3%9Fe.txt",
        f"{ARTIFACT}/50%25.txt",
        f"{ARTIFACT}/what%3F.txt",
        f"{ARTIFACT}/no%231.txt",
        f"{ARTIFACT}/a+b;c=d/~e!$&'()*,@:f",
        f"{ARTIFACT}//double//slash",
        f"{ARTIFACT}/%7Bx%7D%5B1%5D%22",
        f"{ARTIFACT}/trailing/",
        f"{ARTIFACT}/..dots../.hidden",
    ],
)
def test_a_path_arrives_as_it_was_written(
    client: httpx.Client, upstream: Upstream, path: str
) -> None:
    client.get(path)
    assert upstream.last.path == path


@pytest.mark.parametrize(
    "query",
    [
        "a=1&b=2",
        "a=%2F%26%3D&a=+x&e=%C3%A9",
        "filter=metrics.a%20%3C%201",
        "empty=&flag",
        "x=%00&y=%25",
    ],
)
def test_a_query_arrives_as_it_was_written(
    client: httpx.Client, upstream: Upstream, query: str
) -> None:
    client.get(f"{PATH}?{query}")
    assert upstream.last.query == query


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/x/../users/create",
        "/api/2.0/mlflow/x/%2e%2e/users/create",
        "/api/2.0/mlflow/./users/create",
        "/gateway/../signup",
        "/api/2.0/../../health",
        "/api/2.0/mlflow/..",
        f"{ARTIFACT}/1/%252e%252e/2/x",
        f"{ARTIFACT}/1/%25252e%25252e%25252fx",
        f"{ARTIFACT}/1/..%5C..%5Cx",
        f"{ARTIFACT}/1/{'%' + '25' * 12}2e{'%' + '25' * 12}2e/x",
    ],
)
def test_a_path_with_dots_does_not_lead_around_what_is_closed(
    address: str, token: str, upstream: Upstream, path: str
) -> None:
    told = by_hand(
        address, f"POST {path} HTTP/1.1", f"Authorization: Bearer {token}", "Content-Length: 0"
    )
    assert told.startswith(b"HTTP/1.1 4")
    assert upstream.seen == []


def test_an_upload_of_known_length_arrives_whole(client: httpx.Client, upstream: Upstream) -> None:
    body = bytes(range(256)) * 20_000
    client.put(UPLOAD, content=body)
    assert upstream.last.whole
    assert bytes(upstream.last.body) == body
    assert upstream.last.header("content-length") == [str(len(body))]


def test_an_upload_of_unknown_length_arrives_whole(
    client: httpx.Client, upstream: Upstream
) -> None:
    pieces = [b"x", b"y" * 200_000, b"z" * 3, b"\r\n0\r\n\r\n", bytes(range(256)) * 1000]
    client.put(UPLOAD, content=iter(pieces))
    assert upstream.last.whole
    assert bytes(upstream.last.body) == b"".join(pieces)
    assert upstream.last.header("transfer-encoding") == ["chunked"]
    assert upstream.last.header("content-length") == []


def test_an_empty_upload_arrives_empty(client: httpx.Client, upstream: Upstream) -> None:
    nothing: list[bytes] = []
    for content in (b"", iter(nothing)):
        client.put(UPLOAD, content=content)
        assert upstream.last.whole
        assert upstream.last.body == b""


@pytest.mark.parametrize("known", [True, False])
def test_an_upload_is_passed_on_while_it_comes(
    client: httpx.Client, upstream: Upstream, known: bool
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 300_000
        until(lambda: upstream.seen and upstream.last.body, "the beginning of the upload", SECONDS)
        yield b"y" * 300_000

    headers = {"Content-Length": "600000"} if known else {}
    assert client.put(UPLOAD, content=pieces(), headers=headers).status_code == 200
    assert len(upstream.last.body) == 600_000


@pytest.mark.parametrize(
    "header", [("content-type", "text/event-stream; charset=utf-8"), ("content-length", "11")]
)
def test_an_answer_is_passed_on_while_it_comes(
    client: httpx.Client, upstream: Upstream, header: tuple[str, str]
) -> None:
    read = Event()

    async def pieces(seen: Seen) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.to_thread(read.wait, SECONDS)
        yield b"second" if read.is_set() else b"nobody has read the first"

    upstream.answer = Answer(200, [header], pieces)
    with client.stream("GET", PATH) as response:
        answer = response.iter_raw()
        assert next(answer) == b"first"
        read.set()
        assert b"".join(answer) == b"second"


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 206, 304, 400, 403, 404, 409, 429, 500, 501, 503, 599]
)
def test_a_status_is_passed_on_with_its_body(
    client: httpx.Client, upstream: Upstream, status: int
) -> None:
    body = b"" if status in (204, 304) else b'{"error_code": "X"}'
    upstream.answer = Answer(status, [("content-type", "application/json")], body)
    response = client.get(PATH)
    assert (response.status_code, response.content) == (status, body)
    if body:
        assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [
        ("/api/2.0/mlflow/x?y=%2F", "/api/2.0/mlflow/x?y=%2F"),
        ("http://mlflow/api/2.0/mlflow/x", "/api/2.0/mlflow/x"),  # a name that only Studio knows
        ("https://bucket.example.com/x?signed", "https://bucket.example.com/x?signed"),
    ],
)
def test_a_redirect_is_passed_on_and_not_followed(
    client: httpx.Client, upstream: Upstream, told: str, passed_on: str
) -> None:
    upstream.answer = Answer(308, [("location", told)])
    response = client.get(PATH)
    assert (response.status_code, response.headers["location"]) == (308, passed_on)
    assert len(upstream.seen) == 1


def test_headers_are_passed_on_and_cookies_are_not(
    client: httpx.Client, upstream: Upstream
) -> None:
    headers = [
        ("x-multi", "one"),
        ("X-Multi", "two"),
        ("content-disposition", 'attachment; filename="a b"'),
        ("etag", '"abc"'),
        ("x-latin", "größe"),
        ("set-cookie", "session=x"),
        ("server", "uvicorn"),
    ]
    upstream.answer = Answer(headers=headers)
    response = client.get(PATH)
    assert response.headers.get_list("x-multi", split_commas=True) == ["one", "two"]
    assert response.headers["content-disposition"] == 'attachment; filename="a b"'
    assert response.headers["etag"] == '"abc"'
    assert "x-latin" in response.headers
    for name in ("set-cookie", "content-type"):  # MLflow has sent no type
        assert name not in response.headers
    assert "uvicorn" not in response.headers.get("server", "")


@pytest.mark.parametrize("value", [b"a  b\tc", b'"q", p;x=1', "größe".encode(), b"gr\xf6\xdfe"])
def test_a_header_of_any_kind_does_not_break_a_request(
    client: httpx.Client, upstream: Upstream, value: bytes
) -> None:
    assert client.get(PATH, headers=[(b"X-Any", value)]).status_code == 200
    if value.isascii():
        assert upstream.last.header("x-any") == [value.decode()]


def test_cookies_of_mlflow_are_not_kept_for_the_next_user(upstream: Upstream, alice: User) -> None:
    upstream.answer = Answer(headers=[("set-cookie", "session=of-one-user; Path=/")])
    for _ in range(2):
        call("alice", "POST", PATH, {})
    assert [seen.header("cookie") for seen in upstream.seen] == [[], []]


def test_a_compressed_answer_is_passed_on_as_it_is(
    client: httpx.Client, upstream: Upstream
) -> None:
    packed = gzip.compress(b"hello" * 1000)
    headers = [("content-encoding", "gzip"), ("content-length", str(len(packed)))]
    upstream.answer = Answer(200, headers, packed)
    with client.stream("GET", PATH) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-length"] == str(len(packed))
        assert b"".join(response.iter_raw()) == packed


def test_an_answer_before_the_end_of_the_upload_is_passed_on(
    client: httpx.Client, upstream: Upstream
) -> None:
    upstream.answer = Answer(413, [("connection", "close")], b"too much", at_once=True)
    response = client.put(UPLOAD, content=b"x" * 5_000_000)
    assert (response.status_code, response.content) == (413, b"too much")


@pytest.mark.parametrize("path", [PATH, f"{ARTIFACT}/page.html", "/get-artifact?path=page.html"])
def test_what_mlflow_answers_is_never_a_document_of_this_site(
    client: httpx.Client, upstream: Upstream, path: str
) -> None:
    headers = [("content-type", "text/html"), ("content-security-policy", "default-src *")]
    upstream.answer = Answer(200, headers, b"<script src=/get-artifact?path=x.js></script>")
    response = client.get(path)
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
