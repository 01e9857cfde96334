"""The reference lane when somebody goes away in the middle: the real web process before a stand-in for MLflow."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from studio.mlflow import upstream as own
from tests.support.processes import until
from tests.support.upstream import Answer, Seen, Upstream, listening
from tests.support.web import by_hand, chunk, committed_token, serving

pytestmark = pytest.mark.django_db  # or there is no test database at all
PATH = "/api/2.0/mlflow/runs/search"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"
SECONDS = 10


@pytest.fixture(scope="module")
def token(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with committed_token("broken", django_db_blocker) as token:
        yield token


@pytest.fixture(scope="module")
def address(token: str) -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture
def client(address: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=address, headers=headers, timeout=SECONDS, limits=limits) as client:
        yield client


def lines(token: str, body: str, path: str = UPLOAD) -> list[str]:
    return [f"PUT {path} HTTP/1.1", f"Authorization: Bearer {token}", body]


HALF = b"x" * 300_000


@pytest.mark.parametrize("drop", ["fin", "rst", "half"])
def test_an_upload_that_ends_early_is_not_passed_on_as_whole(
    address: str, token: str, upstream: Upstream, drop: str
) -> None:
    by_hand(address, *lines(token, "Content-Length: 1000000"), body=HALF, drop=drop)
    until(lambda: upstream.seen and upstream.last.gone, "the broken upload", SECONDS)
    assert not upstream.last.whole


@pytest.mark.parametrize(
    ("sent", "drop"),
    [
        (chunk(HALF), "fin"),
        (chunk(HALF), "rst"),
        (chunk(HALF), "half"),
        (chunk(HALF)[:-1000], "fin"),
        (chunk(HALF) + b"4000\r\n", "rst"),
        (chunk(HALF) + b"0\r\n", "fin"),  # all but the last line
    ],
)
def test_a_chunked_upload_that_ends_early_is_not_passed_on_as_whole(
    address: str, token: str, upstream: Upstream, sent: bytes, drop: str
) -> None:
    by_hand(address, *lines(token, "Transfer-Encoding: chunked"), body=sent, drop=drop)
    until(lambda: upstream.seen and (upstream.last.gone or upstream.last.whole), "the upload")
    assert upstream.last.gone
    assert not upstream.last.whole


@pytest.mark.parametrize("told", ["Transfer-Encoding: chunked", "Content-Length: 1000000"])
def test_an_upload_of_which_little_has_come_is_not_passed_on_at_all(
    address: str, client: httpx.Client, token: str, upstream: Upstream, told: str
) -> None:
    by_hand(address, *lines(token, told), drop="rst")
    assert client.get(PATH).status_code == 200
    assert [seen.method for seen in upstream.seen] == ["GET"]


def test_a_chunked_upload_arrives_beside_idle_connections_and_broken_ones(
    address: str, client: httpx.Client, token: str, upstream: Upstream
) -> None:
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)):
        by_hand(address, *lines(token, "Content-Length: 1000000"), body=HALF, drop="fin")
        by_hand(address, "GET /livez HTTP/1.1", drop="rst")
        answer = client.put(UPLOAD, content=iter([HALF, HALF]))
    assert answer.status_code == 200
    (arrived,) = [seen for seen in upstream.seen if seen.whole]
    assert arrived.body == HALF + HALF


def test_while_it_is_not_certain_that_a_chunked_upload_is_whole_it_is_refused(
    address: str, client: httpx.Client, token: str, upstream: Upstream
) -> None:
    """Another that broke off, and is still being worked on, cannot be told from this one."""
    with ThreadPoolExecutor() as pool:
        broken = [
            pool.submit(
                by_hand, address, *lines(token, "Transfer-Encoding: chunked"),
                body=chunk(HALF), drop="fin",
            ) for _ in range(3)
        ]  # fmt: skip
        for each in broken:
            each.result()
        answer = client.put(UPLOAD, content=iter([HALF]))
    assert answer.status_code in (200, 503)
    until(lambda: sum(seen.gone for seen in upstream.seen) >= 3, "the broken uploads")
    assert sum(seen.whole for seen in upstream.seen) == (answer.status_code == 200)


@pytest.mark.parametrize("length", ["100", ""])
def test_an_answer_that_ends_early_is_not_passed_on_as_whole(
    client: httpx.Client, upstream: Upstream, length: str
) -> None:
    async def broken(seen: Seen) -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    upstream.answer = Answer(200, [("content-length", length)] if length else [], broken)
    if length:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(PATH)
        return
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "half" not in answer.text


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_an_answer_of_unknown_length_comes_whole_and_with_its_length(
    client: httpx.Client, upstream: Upstream, size: int
) -> None:
    async def pieces(seen: Seen) -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"\n" * (size // 10)

    upstream.answer = Answer(200, [], pieces)
    answer = client.get(PATH)
    assert answer.content == b"\n" * size
    assert answer.headers["content-length"] == str(size)


def test_the_connection_to_mlflow_is_let_go_when_a_reader_goes_away(
    address: str, token: str, upstream: Upstream
) -> None:
    async def endless(seen: Seen) -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    upstream.answer = Answer(200, [("content-length", "1000000000000")], endless)
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)) as wire:
        head = [f"GET {PATH} HTTP/1.1", f"Authorization: Bearer {token}", f"Host: {place.netloc}"]
        wire.sendall("\r\n".join([*head, "", ""]).encode())
        assert wire.recv(4096)
    until(lambda: upstream.last.gone, "the end of the answer", SECONDS)


@pytest.mark.parametrize("known", [True, False])
def test_a_body_that_only_a_file_may_have_is_refused(
    client: httpx.Client, upstream: Upstream, known: bool
) -> None:
    body = b"x" * (64 * 1024 * 1024 + 1)
    answer = client.post(PATH, content=body if known else iter([body]))
    assert answer.status_code == 413
    assert "64 MiB" in answer.json()["message"]
    assert not [seen for seen in upstream.seen if seen.whole]


def test_a_protocol_in_which_a_body_may_have_no_length_is_not_spoken(
    address: str, token: str, upstream: Upstream
) -> None:
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), SECONDS) as wire:
        wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert not wire.recv(4096).startswith(b"\0\0")  # HTTP/2's first answer
    assert upstream.seen == []


def test_mlflow_is_given_so_many_requests_that_studio_goes_on(
    client: httpx.Client, upstream: Upstream
) -> None:
    upstream.answer = Answer(held=Event())
    with ThreadPoolExecutor(own.MOST + 10) as pool:
        asked = [pool.submit(client.get, PATH) for _ in range(own.MOST + 10)]
        try:
            until(lambda: len(upstream.seen) == own.MOST, "as many as are given", SECONDS)
            until(lambda: sum(one.done() for one in asked) == 10, "the others' refusal", SECONDS)
            for path in ("/livez", "/api/v1/endpoints"):
                assert client.get(path, timeout=2).status_code == 200
        finally:
            assert upstream.answer.held is not None
            upstream.answer.held.set()
        answers = sorted(one.result().status_code for one in asked)
    assert answers == [200] * own.MOST + [503] * 10
    assert client.get(PATH).status_code == 200  # all slots have been given back
