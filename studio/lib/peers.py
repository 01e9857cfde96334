"""Who listens at the other end of a Unix socket: the kernel's word, not the path's."""

from __future__ import annotations

import socket
import struct
from typing import Protocol

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


class Connected(Protocol):
    """A socket, or what a loop shows of one."""

    def getsockopt(self, level: int, name: int, length: int, /) -> bytes: ...


def pid_of(connection: Connected) -> int:
    """The pid of the process that listens where this leads, whatever links lie on the way."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(told)[0]
    return pid
