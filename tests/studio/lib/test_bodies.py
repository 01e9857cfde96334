"""Bodies of requests, as they are read from what a server hands over."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse

from studio.lib import bodies
from studio.lib.errors import TooLarge, Unavailable
from studio.lib.patience import PIECE, TooSlow

LONG = b"0123456789" * PIECE


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def sent(body: bytes, *, length: int | None = None, **more: Any) -> dict[str, Any]:
    """A request with a body of that length, however much of it comes."""
    told = len(body) if length is None else length
    return {"CONTENT_LENGTH": str(told), "wsgi.input": BytesIO(body)} | more


def chunked(body: bytes, port: int) -> dict[str, Any]:
    environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "SERVER_PORT": str(port)}
    return environ | {"wsgi.input": BytesIO(body)}


class Refusing:
    """An input that nobody may read."""

    def read(self, size: int) -> bytes:
        raise AssertionError("it was read")


@pytest.mark.parametrize("body", [b"", b"{}", LONG], ids=["none", "short", "long"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_a_body_is_read_whole(body: bytes, known: bool, begun: bool, port: int) -> None:
    environ = sent(body) if known else chunked(body, port)
    if begun:
        bodies.begin(environ)
    with bodies.PLACES:
        assert bodies.read_body(environ, len(LONG)) == body


def test_a_request_without_a_body_is_not_read() -> None:
    environ: dict[str, Any] = {"wsgi.input": Refusing()}
    bodies.begin(environ)
    assert bodies.read_body(environ, 10) == b""


def test_a_body_that_is_said_to_be_too_large_is_not_read() -> None:
    environ = sent(b"", length=11) | {"wsgi.input": Refusing()}
    with pytest.raises(TooLarge) as told:
        bodies.read_body(environ, 10)
    assert told.value.status == 413


def test_of_a_body_that_is_too_large_no_more_is_read_than_tells_it(port: int) -> None:
    environ = chunked(LONG, port)
    with pytest.raises(TooLarge, match="1 MiB"):
        bodies.read_body(environ | {"wsgi.input": (source := BytesIO(LONG * 4))}, 1 << 20)
    assert source.tell() <= (1 << 20) + PIECE


@pytest.mark.parametrize("come", [b"", b"half", LONG], ids=["nothing", "little", "much"])
def test_a_body_that_broke_off_is_not_taken_for_whole(come: bytes) -> None:
    with pytest.raises(ConnectionAbortedError):
        bodies.read_body(sent(come, length=len(come) + 10), len(LONG) + 10)


@pytest.mark.parametrize("come", [b"half", LONG], ids=["little", "much"])
def test_a_body_that_broke_off_while_it_began_is_not_either(come: bytes) -> None:
    environ = sent(come, length=len(come) + 10)
    with pytest.raises(ConnectionAbortedError), bodies.PLACES:
        bodies.begin(environ)
        bodies.read_body(environ, len(LONG) + 10)


@pytest.mark.parametrize("body", [b"half", LONG], ids=["little", "much"])
def test_a_chunked_body_is_not_certain_while_somebody_has_gone(body: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted, pytest.raises(Unavailable), bodies.PLACES:
            client.close()
            environ = chunked(body, server.getsockname()[1])
            bodies.begin(environ)
            bodies.read_body(environ, len(LONG))


def test_a_short_chunked_body_has_a_length_once_it_is_there(port: int) -> None:
    environ = chunked(b"{}", port)
    bodies.begin(environ)
    assert environ["CONTENT_LENGTH"] == "2"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input"].read() == b"{}"


def test_who_asks_first_is_not_answered_before_somebody_wants_the_body() -> None:
    environ = sent(LONG, HTTP_EXPECT="100-continue") | {"wsgi.input": Refusing()}
    bodies.begin(environ)
    assert bodies.finish(environ, [b"refused"]) == [b"refused"]


class Counting(BytesIO):
    """An input that looks how many places are free while it is waited for."""

    seen = -1

    def read(self, size: int | None = -1) -> bytes:
        self.seen = bodies.PLACES.free
        return super().read(size)


def test_who_waits_for_a_long_body_gives_his_place_back_and_takes_it_again() -> None:
    all_places = bodies.PLACES.free
    source = Counting(LONG)
    environ = sent(LONG) | {"wsgi.input": source}
    bodies.begin(environ)
    with bodies.PLACES:
        source.seen = -1
        environ["wsgi.input"].read(2 * PIECE)
        assert source.seen == all_places
        assert bodies.PLACES.free == all_places - 1
    assert bodies.PLACES.free == all_places


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_long_body_keeps_no_connection_to_the_database() -> None:
    environ = sent(LONG)
    bodies.begin(environ)
    connection.ensure_connection()
    with bodies.PLACES:
        environ["wsgi.input"].read()
    assert connection.connection is None


@pytest.mark.django_db
def test_but_in_a_transaction_it_is_kept() -> None:
    environ = sent(LONG)
    bodies.begin(environ)
    with bodies.PLACES:
        environ["wsgi.input"].read()
    connection.cursor().execute("SELECT 1")  # pytest's transaction goes on


def test_a_body_that_nobody_wanted_is_read_to_its_end() -> None:
    source = BytesIO(LONG)
    environ = sent(LONG) | {"wsgi.input": source}
    bodies.begin(environ)
    assert bodies.finish(environ, [b"refused"]) == [b"refused"]
    assert source.tell() == len(LONG)


def test_a_body_that_nobody_wanted_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def read(self, size: int) -> bytes:
            return b"x" * size

    monkeypatch.setattr(bodies, "_LINGER", 0.05)
    environ = sent(b"", length=1 << 60) | {"wsgi.input": Endless()}
    bodies.begin(environ)
    assert bodies.finish(environ, [b"refused"]) == [b"refused"]


def test_the_answer_to_who_was_cut_off_is_closed_by_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_off(source: Any, size: int) -> bytes:
        raise TooSlow

    environ = sent(LONG)
    bodies.begin(environ)
    monkeypatch.setattr(bodies, "receive", cut_off)
    with bodies.PLACES, pytest.raises(TooSlow):
        environ["wsgi.input"].read()
    answer = HttpResponse(b"nobody sees it")
    assert list(bodies.finish(environ, answer)) == []
    assert answer.closed


def test_what_was_read_can_be_put_back(port: int) -> None:
    environ = chunked(LONG, port)
    bodies.replace(environ, bodies.read_body(environ, len(LONG)))
    assert bodies.read_body(environ, len(LONG)) == LONG
