"""Connections to replicas, kept and used again: HTTP/1.1 over Unix sockets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from endpoints.gateway.connection import Answer, Connection
from endpoints.gateway.errors import Silence, Unreachable
from endpoints.gateway.routes import Replica

CONNECT = 1.0  # seconds
FULL = 0.01  # seconds until a socket whose queue is full is tried again
KEPT = 64  # idle connections to one replica


@dataclass(slots=True)
class Request:
    head: bytes
    body: bytes | bytearray


@dataclass(slots=True)
class _Replica:
    idle: list[Connection] = field(default_factory=list)
    busy: set[Connection] = field(default_factory=set)


class Pool:
    """Asks replicas. Every connection is idle here, or busy with one answer, or closed."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._loop = asyncio.get_running_loop()

    def busy(self, address: str) -> int:
        """How many answers of this replica are being waited for."""
        replica = self._replicas.get(address)
        return len(replica.busy) if replica else 0

    async def ask(self, replica: Replica, request: Request) -> Answer:
        """Send, and return when the head of the answer is there. The caller closes the answer in the end.

        A kept connection may have been closed by the replica just now: if nothing came back on it, the request
        is sent once more, on a new one. Raises Unreachable, when nobody listens, and BadAnswer.
        """
        kept = self._kept(replica.address)
        if kept is not None:
            try:
                return await self._ask_on(kept, request)
            except Silence:
                pass
        return await self._ask_on(await self._connect(replica), request)

    def close(self) -> None:
        """Close every connection. Answers that are under way are given up."""
        for replica in list(self._replicas.values()):
            for connection in [*replica.idle, *replica.busy]:
                connection.close()

    # What the connections tell.

    def freed(self, connection: Connection) -> None:
        replica = self._replicas[connection.address]
        replica.busy.discard(connection)
        replica.idle.append(connection)
        if len(replica.idle) > KEPT:
            replica.idle[0].close()

    def lost(self, connection: Connection) -> None:
        replica = self._replicas.get(connection.address)
        if replica is None:
            return
        replica.busy.discard(connection)
        if connection in replica.idle:
            replica.idle.remove(connection)
        if not replica.idle and not replica.busy:
            del self._replicas[connection.address]

    async def _ask_on(self, connection: Connection, request: Request) -> Answer:
        self._replicas.setdefault(connection.address, _Replica()).busy.add(connection)
        answer = connection.ask(request.head, request.body)
        try:
            await answer.head()
        except BaseException:  # also the client's going away: nobody will read this answer
            answer.close()
            raise
        return answer

    def _kept(self, address: str) -> Connection | None:
        replica = self._replicas.get(address)
        # The last one used: the others grow old, and the replica closes them.
        return replica.idle.pop() if replica and replica.idle else None

    async def _connect(self, replica: Replica) -> Connection:
        """A model may have put a link to another's socket in the place of its own: we, as root, would follow it."""
        connection = await self._connect_to(replica.address)
        if replica.pid is None or connection.peer == replica.pid:
            return connection
        connection.close()
        raise Unreachable("The model server's socket leads to another process.")

    async def _connect_to(self, address: str) -> Connection:
        try:
            async with asyncio.timeout(CONNECT):
                while True:
                    try:
                        _, connection = await self._loop.create_unix_connection(
                            lambda: Connection(address, self, self._loop), address
                        )
                    except BlockingIOError:  # the queue of its socket is full
                        await asyncio.sleep(FULL)
                    else:
                        return connection
        except OSError as failure:  # also a timeout
            raise Unreachable(
                f"The model server does not answer: {str(failure) or 'timed out'}."
            ) from failure
