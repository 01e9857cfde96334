"""What the kernel knows of the connections to this process, and a WSGI server does not tell."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

_OWN = Path("/dev/fd")  # on Linux and macOS


def all_there(port: int, patience: float = 0.25) -> bool:
    """Whether of all who are connected to this port of ours nobody is known to have gone away.

    granian tells a program neither that a chunked body has broken off nor whose connection it came by, but it
    keeps that connection open until it has been answered. Others that have been closed it closes at once: who
    waits a moment for them is seldom wrong, and never in the other direction.
    """
    until = time.monotonic() + patience
    while any(_is_gone(wire) for wire in _accepted(port)):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def keep_watch(port: int) -> None:
    """Have the kernel find out, within two minutes, who has gone without a word, and end their connections.

    Set on what listens at this port: what is accepted there from now on inherits it.
    """
    for wire in _sockets():
        with wire:
            if _port_of(wire) == port:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
                if hasattr(socket, "TCP_KEEPIDLE"):  # macOS calls it otherwise
                    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)


class SlowReaders:
    """Who lets an answer wait, by what the kernel still holds for them. Only Linux tells."""

    def __init__(self, port: int, patience: float = 60.0, least: int = 128 * 1024) -> None:
        self._port = port
        self._patience = patience
        self._least = least
        # Since when each has let something wait, and how much it had taken by then.
        self._since: dict[str, tuple[float, int]] = {}

    def cut_off(self) -> int:
        """End the connections of who has taken less than `least` bytes in `patience` seconds. Returns how many.

        Called now and then, by one thread.
        """
        if sys.platform != "linux":
            return 0
        now, before, gone = time.monotonic(), self._since, 0
        self._since = {}
        for wire in _accepted(self._port):
            try:
                if not _unsent(wire):
                    continue
                reader, taken = _name_of(wire), _taken(wire)
                since, had = before.get(reader, (now, taken))
                if now - since < self._patience or reader not in before:
                    self._since[reader] = since, had
                elif taken - had >= self._least:
                    self._since[reader] = now, taken
                else:
                    _cut_off(wire)
                    gone += 1
            except OSError:  # it has gone by itself
                continue
        return gone


def _accepted(port: int) -> Iterator[socket.socket]:
    for wire in _sockets():
        with wire:
            if _port_of(wire) == port:
                yield wire


def _sockets() -> Iterator[socket.socket]:
    """This process's TCP sockets, each as a copy: the original may be closed meanwhile."""
    for entry in list(_OWN.iterdir()):
        try:
            copy = os.dup(int(entry.name))
        except OSError:  # closed since
            continue
        try:
            wire = socket.socket(fileno=copy)
        except OSError:  # a file
            os.close(copy)
            continue
        if wire.family in (socket.AF_INET, socket.AF_INET6) and wire.type == socket.SOCK_STREAM:
            yield wire
        else:
            wire.close()


def _port_of(wire: socket.socket) -> int:
    try:
        return int(wire.getsockname()[1])
    except OSError:
        return 0


def _cut_off(wire: socket.socket) -> None:
    """End a connection. What waits to be sent would keep it in the kernel."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.shutdown(socket.SHUT_RDWR)


def _unsent(wire: socket.socket) -> int:
    """Bytes that have been sent, and that the other end has not taken."""
    return int.from_bytes(fcntl.ioctl(wire, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _taken(wire: socket.socket) -> int:
    """Bytes that the other end has ever taken: tcpi_bytes_acked of Linux's struct tcp_info."""
    told = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    return int.from_bytes(told[120:128], sys.byteorder)


def _name_of(wire: socket.socket) -> str:
    return f"{wire.getpeername()} {os.fstat(wire.fileno()).st_ino}"


def _is_gone(wire: socket.socket) -> bool:
    try:
        return wire.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except ConnectionResetError:
        return True
    except OSError:  # nothing has come, or it only listens
        return False
