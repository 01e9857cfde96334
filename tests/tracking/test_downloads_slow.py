"""Downloads that nobody reads on: the real web process, without MLflow's server."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from tests.support.processes import open_below, until
from tests.support.web import committed_token, serving
from tests.tracking.test_uploads_slow import web

pytestmark = pytest.mark.django_db  # or there is no test database at all
WHERE = "/api/2.0/mlflow-artifacts/artifacts"
MANY = 25  # more than a process has connections to the database
SIZE = 50 * 1024 * 1024  # more than lies on the way to a client


@pytest.fixture(scope="module")
def token(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with committed_token("slow-reader", django_db_blocker, administrator=True) as token:
        yield token


@pytest.fixture(scope="module")
def address(token: str) -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of the store, with a large file in it."""
    folder = Path(settings.ARTIFACTS, "slow-reader")
    folder.mkdir(parents=True)
    with (folder / "big.bin").open("wb") as file:
        file.truncate(SIZE)
    yield folder
    shutil.rmtree(folder)


def begin(address: str, token: str) -> socket.socket:
    """Ask for the file, and read no more than that it comes."""
    place = urlsplit(address)
    wire = socket.create_connection((place.hostname, place.port), 10)
    head = [
        f"GET {WHERE}/slow-reader/big.bin HTTP/1.1",
        f"Host: {place.netloc}",
        f"Authorization: Bearer {token}",
    ]
    wire.sendall("\r\n".join([*head, "", ""]).encode())
    assert wire.recv(15).startswith(b"HTTP/1.1 200")
    return wire


def test_downloads_that_nobody_reads_on_hold_nobody_up(
    address: str, token: str, root: Path
) -> None:
    process = web(address)
    with ExitStack() as stalled, httpx.Client(base_url=address, timeout=5) as client:
        before = process.num_fds()
        for _ in range(MANY):
            stalled.enter_context(begin(address, token))
        assert process.num_fds() >= before + 2 * MANY  # each has its connection and its file
        rights = {"Authorization": f"Bearer {token}"}
        for _ in range(3):  # the database is asked each time
            assert client.get("/api/v1/endpoints", headers=rights).status_code == 200
        part = client.get(f"{WHERE}/slow-reader/big.bin", headers=rights | {"Range": "bytes=-5"})
        assert (part.status_code, part.content) == (206, bytes(5))
        assert open_below(root, process)
    until(lambda: not open_below(root, process), "they have been given up")
