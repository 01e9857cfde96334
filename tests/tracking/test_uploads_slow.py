"""Uploads that stop half-way: the real web process, without MLflow's server."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from tests.support.processes import open_below, until
from tests.support.web import committed_token, serving

pytestmark = pytest.mark.django_db  # or there is no test database at all
WHERE = "/api/2.0/mlflow-artifacts/artifacts"
MANY = 25  # more than a process has connections to the database
HALF = b"x" * 300_000


@pytest.fixture(scope="module")
def token(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with committed_token("slow", django_db_blocker, administrator=True) as token:
        yield token


@pytest.fixture(scope="module")
def address(token: str) -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of the store, for this test alone."""
    folder = Path(settings.ARTIFACTS, "slow")
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def begin(address: str, token: str, path: str, length: int) -> socket.socket:
    """Send an upload's first half."""
    place = urlsplit(address)
    wire = socket.create_connection((place.hostname, place.port), 10)
    head = [
        f"PUT {WHERE}/{path} HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {token}",
    ]
    wire.sendall("\r\n".join([*head, f"Content-Length: {length}", "", ""]).encode() + HALF)
    return wire


def web(address: str) -> psutil.Process:
    """Who listens at this address."""
    port = urlsplit(address).port
    [pid] = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (port,)
    }
    return psutil.Process(pid)


def test_uploads_that_have_stopped_hold_nobody_up(address: str, token: str, root: Path) -> None:
    process = web(address)
    with ExitStack() as stalled, httpx.Client(base_url=address, timeout=5) as client:
        for number in range(MANY):
            wire = begin(address, token, f"slow/stalled-{number}", 2 * len(HALF))
            stalled.enter_context(wire)
        until(lambda: len(open_below(root, process)) == MANY, "all have begun")
        rights = {"Authorization": f"Bearer {token}"}
        for _ in range(3):  # the database is asked each time
            assert client.get("/api/v1/endpoints", headers=rights).status_code == 200
        assert client.put(f"{WHERE}/slow/whole", content=HALF, headers=rights).status_code == 200
    until(lambda: not open_below(root, process), "they have been given up")
    assert [path.name for path in root.iterdir()] == ["whole"]


def test_what_comes_late_is_stored_all_the_same(address: str, token: str, root: Path) -> None:
    process = web(address)
    with begin(address, token, "slow/late", 2 * len(HALF)) as wire:
        until(lambda: open_below(root, process), "it has begun")
        wire.sendall(HALF)
        assert wire.recv(1000).startswith(b"HTTP/1.1 200")
    assert (root / "late").read_bytes() == HALF + HALF
