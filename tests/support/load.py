"""An open-loop load: requests leave by the clock, whatever became of those before. In a process of its own.

`python -m tests.support.load URL KEY RATE` prints a line for each that has ended: its number, when it was
due (monotonic seconds), how long it then took, and its status, 0 where there was no answer.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.processes import until

_PATIENCE = 15.0  # seconds for one answer
_BODY = b'{"instances": [[1]]}'


class Request(NamedTuple):
    number: int
    due: float
    took: float  # from when it was due: the wait for its turn counts
    status: int

    @property
    def ended(self) -> float:
        return self.due + self.took

    @property
    def failed(self) -> bool:
        return self.status != 200


@dataclass
class Load:
    """What has been answered so far, in the order of the answers."""

    rate: float
    requests: list[Request] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Request]:
        """Those that were due from `start` to `end`, all of them: waits until each has its answer.

        Fails where fewer have left than by the clock: then nothing that they say is to be trusted.
        """
        last = until(lambda: self._first_after(end), "requests are sent", _PATIENCE)
        first = until(lambda: self._first_after(start), "requests are sent", 1)
        wanted = range(first, last)
        found = until(lambda: self._numbered(wanted), "each request has ended", _PATIENCE + 1)
        assert len(found) >= 0.9 * self.rate * (end - start), "the load was not what it should be"
        return found

    def _first_after(self, moment: float) -> int:
        return min((one.number for one in self.requests[-5000:] if one.due >= moment), default=0)

    def _numbered(self, wanted: range) -> list[Request] | None:
        found = [one for one in self.requests[-5000:] if one.number in wanted]
        return sorted(found) if len(found) == len(wanted) else None


@contextmanager
def load(url: str, key: str, rate: float = 100) -> Iterator[Load]:
    """Send requests while the block runs."""
    command = [sys.executable, "-m", "tests.support.load", url, key, str(rate)]
    going = Load(rate)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def collect() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                going.requests.append(Request(*json.loads(line)))

        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        try:
            until(lambda: going.requests, "the first request is answered")
            yield going
        finally:
            process.kill()
            reader.join()


class _Client:
    """Connections that are kept, and a new one where none is free."""

    def __init__(self, url: str, key: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.place = address.hostname, address.port
        self.head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
        ).encode()
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> int:
        """The status of an answer that came whole. Raises OSError and EOFError."""
        reader, writer = await self._connection()
        try:
            writer.write(self.head + _BODY)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            [length] = [line[16:] for line in lines if line.startswith("content-length: ")]
            await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        self.free.append((reader, writer))
        return int(lines[0].split()[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof():  # as any client looks, before it uses one again
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self.place)


async def _send(url: str, key: str, rate: float) -> None:
    client, start = _Client(url, key), time.monotonic()
    sent: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        try:
            status = await asyncio.wait_for(client.ask(), _PATIENCE)
        except (OSError, EOFError, TimeoutError):
            status = 0
        told = json.dumps([number, due, time.monotonic() - due, status])
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()

    number = 0
    while True:
        number += 1
        due = start + number / rate
        await asyncio.sleep(due - time.monotonic())
        task = asyncio.create_task(one(number, due))
        sent.add(task)
        task.add_done_callback(sent.discard)


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], sys.argv[2], float(sys.argv[3])))
