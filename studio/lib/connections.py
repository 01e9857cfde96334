"""What the kernel knows of the connections to this process, and a WSGI server does not tell."""

from __future__ import annotations

import os
import socket
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


def _is_gone(wire: socket.socket) -> bool:
    try:
        return wire.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except ConnectionResetError:
        return True
    except OSError:  # nothing has come, or it only listens
        return False
