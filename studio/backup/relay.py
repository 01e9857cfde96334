"""A way through TLS for PostgreSQL's programs of the wheel, which are built without it.

They connect to a Unix socket in a folder that is this user's alone; what they say goes on to the server through
TLS, checked as DATABASE_URL asks for (sslmode, sslrootcert, sslcert). Where Studio's own connections use no TLS
the programs connect by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

_AUTHENTICATION, _SASL, _NEGOTIATION = b"R", 10, b"v"  # messages of PostgreSQL's
_BOUND_TO_TLS = b"SCRAM-SHA-256-PLUS"
_ASK_FOR_TLS = struct.pack(">ii", 8, 80877103)
_PORT = 5432
_PIECE = 256 * 1024
_OF_THE_SERVER = {"host", "hostaddr", "port", "requirepeer"}
_OF_ENCRYPTION = {"channel_binding", "gssencmode", "requiressl"}
_READ = {"service", "servicefile", "passfile"}  # all that is in them is told here

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and by which name and certificate it is known."""

    address: str
    port: int
    name: str
    context: ssl.SSLContext


@contextmanager
def address_of(connection: psycopg.Connection[Any]) -> Iterator[dict[str, str]]:
    """The parameters, password and all, by which a program reaches the server of this connection as safely."""
    given = {
        option.keyword.decode(): option.val.decode()
        for option in connection.pgconn.info
        if option.val
    } | {"password": connection.pgconn.password.decode()}  # which may come from a file
    plain = {
        name: value
        for name, value in given.items()
        if name not in _OF_ENCRYPTION | _READ and not name.startswith("ssl")
    }
    if not connection.pgconn.ssl_in_use:
        yield plain
        return
    for name in _OF_THE_SERVER:
        plain.pop(name, None)
    info = connection.info
    server = Server(info.hostaddr or info.host, info.port, info.host, context_for(given))
    with _relay(server) as folder:
        yield plain | {"host": str(folder), "port": str(_PORT)}


@contextmanager
def _relay(server: Server) -> Iterator[Path]:
    """A folder with a socket, each connection to which is one to the server."""
    with tempfile.TemporaryDirectory(prefix="studio-relay-") as folder:
        loop, ready, stop = asyncio.new_event_loop(), Event(), asyncio.Event()
        work = _serve(Path(folder), server, ready, stop)
        thread = Thread(target=loop.run_until_complete, args=[work], daemon=True)
        thread.start()
        ready.wait()
        try:
            yield Path(folder)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


async def _serve(folder: Path, server: Server, ready: Event, stop: asyncio.Event) -> None:
    running: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _pass_on(reader, writer, server)
        writer.transport.abort()
        running.discard(task)

    listener = await asyncio.start_unix_server(pass_on, folder / f".s.PGSQL.{_PORT}")
    ready.set()
    await stop.wait()
    listener.close()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await asyncio.sleep(0)  # in which what was aborted is closed


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server
) -> None:
    """Until either side has ended."""
    into, out = await asyncio.open_connection(server.address, server.port)
    try:
        out.write(_ASK_FOR_TLS)
        if await into.readexactly(1) != b"S":
            raise ConnectionError("the server does not speak TLS")
        await out.start_tls(server.context, server_hostname=server.name)
        ways = {asyncio.create_task(_pump(reader, out)), asyncio.create_task(_answer(into, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        out.transport.abort()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what the server says, without its offer of a proof that only who has made the TLS can give."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        kind = _NEGOTIATION
        while kind == _NEGOTIATION:
            kind, length = struct.unpack(">cI", await reader.readexactly(5))
            body = await reader.readexactly(length - 4)
            if kind == _AUTHENTICATION:
                body = _unbound(body)
            writer.write(struct.pack(">cI", kind, len(body) + 4) + body)
    await _pump(reader, writer)


def _unbound(body: bytes) -> bytes:
    (code,) = struct.unpack(">I", body[:4])
    if code != _SASL:
        return body
    offered = body[4:].rstrip(b"\0").split(b"\0")
    kept = [name + b"\0" for name in offered if name != _BOUND_TO_TLS]
    return body[:4] + b"".join(kept) + b"\0"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()


def context_for(given: Parameters) -> ssl.SSLContext:
    """What libpq would check, by the same parameters."""
    mode, root = given.get("sslmode", "prefer"), given.get("sslrootcert", "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full" or root == "system"
    known = Path(root or "~/.postgresql/root.crt").expanduser()
    if root == "system":
        context.load_default_certs()
    elif known.exists():
        context.load_verify_locations(known)
    elif not mode.startswith("verify"):  # else whoever answers is refused, since nobody is known
        context.verify_mode = ssl.CERT_NONE
    if crl := given.get("sslcrl"):
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    certificate = Path(given.get("sslcert") or "~/.postgresql/postgresql.crt").expanduser()
    if certificate.exists():
        key = Path(given.get("sslkey") or "~/.postgresql/postgresql.key").expanduser()
        context.load_cert_chain(certificate, key, given.get("sslpassword"))
    return context
