"""A server that takes long, one that is stuck, and one that is back: told apart by a sign of life."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from studio.mlflow import upstream
from tests.support.processes import until
from tests.support.upstream import Answer, Seen, Upstream, listening

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATH = "/api/2.0/mlflow/runs/search"
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As ever, but in tenths of seconds."""
    monkeypatch.setattr(upstream, "_SLICE", 0.1)
    monkeypatch.setattr(upstream, "_PATIENCE", 0.4)
    for cached in (upstream.client, upstream.pulse):
        cached.cache_clear()
    yield
    upstream.client().close()
    for cached in (upstream.client, upstream.pulse):
        cached.cache_clear()


@pytest.fixture
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as server:
        yield server


def held(server: Upstream, then: Callable[[], object]) -> threading.Event:
    """Let the server hold back its answer until `then` has been called, in a while."""
    server.answer = Answer(held=threading.Event())
    assert server.answer.held is not None

    def later() -> None:
        until(lambda: server.seen, "the request")
        then()

    threading.Thread(target=later, daemon=True).start()
    return server.answer.held


def test_a_server_that_lives_is_waited_for(as_alice: Client, server: Upstream) -> None:
    def late() -> None:
        time.sleep(1.5)
        release.set()

    release = held(server, late)
    started = time.monotonic()
    assert as_alice.get(PATH).status_code == 200
    assert time.monotonic() - started > 1.5  # many times what a stuck one is given


@pytest.mark.parametrize("size", [0, 5_000_000])
def test_a_server_that_is_stuck_is_given_up(as_alice: Client, server: Upstream, size: int) -> None:
    """Also while it is being sent to, and its socket takes no more."""
    server.pulse = False
    held(server, lambda: None)
    server.answer.at_once = True  # the body is left unread
    started = time.monotonic()
    body: dict[str, Any] = {"wsgi.input": BytesIO(b"x" * size), "CONTENT_LENGTH": str(size)}
    response = as_alice.post(PATH, headers=SAME, **body)
    assert time.monotonic() - started < 3
    assert (response.status_code, response.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "MLflow's server is not answering" in response.json()["message"]


def test_a_download_from_a_server_that_is_stuck_ends(as_alice: Client, server: Upstream) -> None:
    async def half(seen: Seen) -> AsyncIterator[bytes]:
        yield b"half"
        server.pulse = False
        while not server.pulse:
            await asyncio.sleep(0.02)

    server.answer = Answer(200, [("content-length", "8")], half)
    response = as_alice.get(PATH)
    with pytest.raises(Exception, match="no sign of life"):
        b"".join(response.streaming_content)  # type: ignore[attr-defined]


def test_while_a_server_is_stuck_others_are_told_at_once(
    as_alice: Client, server: Upstream
) -> None:
    server.pulse = False
    held(server, lambda: None)
    assert as_alice.get(PATH).status_code == 503
    asked = len(server.seen)
    with ThreadPoolExecutor(20) as pool:
        started = time.monotonic()
        dead = list(pool.map(lambda _: upstream.pulse().seems_dead(), range(20)))
        assert time.monotonic() - started < 0.4
    assert dead == [True] * 20
    assert as_alice.get(PATH).status_code == 503
    assert len(server.seen) == asked


def test_a_server_that_is_back_is_asked_again(as_alice: Client, server: Upstream) -> None:
    server.pulse = False
    release = held(server, lambda: None)
    assert as_alice.get(PATH).status_code == 503
    release.set()
    server.pulse = True
    until(lambda: as_alice.get(PATH).status_code == 200, "MLflow's answer", 5)


def test_many_who_wait_ask_for_one_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = upstream.Pulse(settings.HOME.reference_socket)
    asked: list[float] = []

    def answers(patience: float) -> bool:
        asked.append(patience)
        return True

    monkeypatch.setattr(pulse, "_answers", answers)
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(lambda _: pulse.beats(), range(20)))
    assert len(asked) == 1


def test_nobody_listening_is_no_sign_of_life() -> None:
    assert upstream.Pulse(settings.HOME.root / "nobody.sock").beats() is False


def test_a_place_is_given_back_however_a_request_ends(as_alice: Client, server: Upstream) -> None:
    def free() -> int:
        return upstream._slots._value

    before = free()
    for close in as_alice.get(PATH)._resource_closers:  # type: ignore[attr-defined]
        close()  # as the server does, here of an answer that nobody has read
    b"".join(as_alice.get(PATH).streaming_content)  # type: ignore[attr-defined]
    short: dict[str, Any] = {"wsgi.input": BytesIO(b"half"), "CONTENT_LENGTH": "100"}
    as_alice.post(PATH, headers=SAME, **short)
    assert free() == before
    server.pulse = False
    held(server, lambda: None)
    as_alice.get(PATH)
    assert free() == before


def test_no_connection_to_the_database_is_kept_while_mlflow_works(
    as_alice: Client, server: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []

    class Connection:
        in_atomic_block = False

        def close(self) -> None:
            given_back.append(len(server.seen))

    monkeypatch.setattr(upstream, "connection", Connection())
    as_alice.get(PATH)
    assert given_back == [0]  # before MLflow was asked
    Connection.in_atomic_block = True
    as_alice.get(PATH)
    assert given_back == [0]  # what is not yet committed is not thrown away
