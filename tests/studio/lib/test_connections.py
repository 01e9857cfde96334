"""Who has gone away, as the kernel knows it."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from studio.lib.connections import SlowReaders, _taken, _unsent, all_there, keep_watch
from tests.support.processes import until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


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


def fill(wire: socket.socket) -> None:
    """Send until nothing more fits."""
    wire.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            wire.send(bytes(65536))


@linux_only
def test_who_does_not_read_is_cut_off(server: socket.socket, port: int) -> None:
    reader, accepted = caller(server)
    with reader, accepted:
        fill(accepted)
        watch = SlowReaders(port, patience=0)
        assert watch.cut_off() == 0  # seen for the first time
        assert watch.cut_off() == 1
        with pytest.raises(OSError, match="Broken pipe|reset"):
            accepted.send(b"x")


@linux_only
def test_who_reads_is_not(server: socket.socket, port: int) -> None:
    reader, accepted = caller(server)
    with reader, accepted:
        watch = SlowReaders(port, patience=0, least=1000)
        for _ in range(3):
            fill(accepted)
            assert watch.cut_off() == 0
            assert reader.recv(65536)
            until(lambda: _taken(accepted) > 0, "the kernel has seen it")


@linux_only
def test_nor_is_who_has_nothing_to_read(server: socket.socket, port: int) -> None:
    reader, accepted = caller(server)
    with reader, accepted:
        accepted.sendall(b"an answer")
        watch = SlowReaders(port, patience=0)
        until(lambda: not _unsent(accepted), "the answer has come")
        assert [watch.cut_off() for _ in range(3)] == [0, 0, 0]


@linux_only
def test_who_does_not_read_is_cut_off_once_the_time_is_over(
    server: socket.socket, port: int
) -> None:
    reader, accepted = caller(server)
    with reader, accepted:
        fill(accepted)
        watch = SlowReaders(port, patience=0.3)
        assert watch.cut_off() == 0
        until(watch.cut_off, "the end of the patience")
        assert not watch.cut_off()
