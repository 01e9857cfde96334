"""Clients that send slowly, at a real web process whose patience is two seconds."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from studio.lib.patience import PIECE
from tests.support.processes import until
from tests.support.upstream import Upstream, listening
from tests.support.web import chunk, committed_token, serving

pytestmark = pytest.mark.django_db  # or there is no test database at all
SEARCH = "/api/2.0/mlflow/runs/search"
# Read by a guard, once it is known who asks.
GUARDED = "/api/2.0/mlflow/users/create"
SHORT, LONG = b"{", b"x" * (PIECE + 1000)  # of a long one the first piece has come
MANY, PLACES = (
    15,
    32,
)  # of each kind; two of four have a connection to the database, of which there are 20


@pytest.fixture(scope="module")
def token(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with committed_token("patient", django_db_blocker) as token:
        yield token


@pytest.fixture(scope="module")
def address(token: str) -> Iterator[str]:
    with serving("tests.support.impatient:application") as address:
        yield address


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as upstream:
        yield upstream


@pytest.fixture
def client(address: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client


class Slow:
    """A client whose body never ends. It sends a byte at each look, and sees whether it has been cut off."""

    def __init__(self, address: str, token: str, begin: bytes, known: bool) -> None:
        place = urlsplit(address)
        self.wire = socket.create_connection((place.hostname, place.port), 10)
        self.byte = b"x" if known else chunk(b"x")
        told = "Content-Length: 1000000" if known else "Transfer-Encoding: chunked"
        head = [
            f"POST {SEARCH} HTTP/1.1",
            f"Host: {place.netloc}",
            f"Authorization: Bearer {token}",
        ]
        lines = [*head, "Content-Type: application/json", told, "", ""]
        self.wire.sendall("\r\n".join(lines).encode() + (begin if known else chunk(begin)))
        self.wire.setblocking(False)

    def is_cut_off(self) -> bool:
        try:
            if self.wire.recv(1000) == b"":
                return True
        except BlockingIOError:
            pass
        except OSError:
            return True
        try:
            self.wire.send(self.byte)
        except OSError:
            return True
        return False


def test_who_sends_too_slowly_is_cut_off_and_leaves_nothing_behind(
    address: str, token: str, client: httpx.Client, upstream: Upstream
) -> None:
    kinds = [(begin, known) for begin in (SHORT, LONG) for known in (True, False)]
    slow = [Slow(address, token, *kind) for kind in kinds * MANY]
    try:
        assert client.get("/api/v1/endpoints").status_code == 200  # they hold up nobody
        left = list(slow)

        def all_cut_off() -> bool:
            left[:] = [each for each in left if not each.is_cut_off()]
            return not left

        until(all_cut_off, "all slow clients are cut off")
    finally:
        for each in slow:
            each.wire.close()
    # Neither connections to the database nor places are lost.
    with ThreadPoolExecutor(PLACES) as pool:
        asked = [pool.submit(client.get, "/api/v1/endpoints") for _ in range(PLACES * 2)]
        assert {each.result().status_code for each in asked} == {200}
    assert client.post(SEARCH, json={}).status_code == 200


def test_who_sends_steadily_is_waited_for_however_long_it_takes(
    client: httpx.Client, upstream: Upstream
) -> None:
    step = PIECE // 8

    def steadily() -> Iterator[bytes]:
        """Three seconds, which is more than the patience for all of it."""
        for _ in range(48):
            yield b" " * step
            time.sleep(0.0625)

    assert client.post(SEARCH, content=steadily()).status_code == 200
    assert len(upstream.last.body) == 48 * step
