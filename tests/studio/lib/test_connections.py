"""Who has gone away, as the kernel knows it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from studio.lib.connections import all_there, keep_watch


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def caller(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client and the server's end of its connection."""
    client = socket.create_connection(server.getsockname())
    return client, server.accept()[0]


def test_who_is_silent_is_there(server: socket.socket, port: int) -> None:
    client, accepted = caller(server)
    with client, accepted:
        assert all_there(port, patience=0)
        client.sendall(b"x")
        assert all_there(port, patience=0)
    assert all_there(port, patience=0)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_who_has_gone_is_gone(server: socket.socket, port: int, how: str) -> None:
    client, accepted = caller(server)
    with client, accepted:
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "half":
            client.shutdown(socket.SHUT_WR)
        else:
            client.close()
        assert not all_there(port, patience=0.05)
        assert accepted.recv(1) == b""  # to whom it belongs it looks closed, and not like new
        assert not all_there(port, patience=0)


def test_a_moment_is_waited_for_the_server_to_let_go(server: socket.socket, port: int) -> None:
    client, accepted = caller(server)
    client.close()
    letting_go = threading.Timer(0.1, accepted.close)
    letting_go.start()
    assert all_there(port, patience=5)
    letting_go.join()


def test_those_of_another_port_do_not_count(server: socket.socket) -> None:
    client, accepted = caller(server)
    with accepted, socket.create_server(("127.0.0.1", 0)) as other:
        client.close()
        assert all_there(other.getsockname()[1], patience=0)


def test_who_is_accepted_later_is_watched(server: socket.socket, port: int) -> None:
    keep_watch(port)
    client, accepted = caller(server)
    with client, accepted:
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 15
