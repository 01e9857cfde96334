"""What the gateway's tests stand on: a real database, real gateway processes, and small model servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import psutil
import psycopg
from psycopg import sql

from studio.launch.postgres import DATABASE, OWNER, EmbeddedPostgres
from studio.lib.database import embedded_url
from studio.lib.home import Home
from studio.lib.notify import ROUTES
from studio.lib.secrets import digest

ROOT = Path(__file__).parents[3]


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return the first true value of `condition`; fail when there is none in time."""
    deadline = monotonic() + seconds
    while not (value := condition()):
        assert monotonic() < deadline, f"did not come true in {seconds:g} s"
        sleep(0.01)
    return value


def settled(value: Callable[[], Any], seconds: float = 0.3) -> Any:
    """Return the value once it has not changed for a while."""
    last, since = value(), monotonic()
    while monotonic() - since < seconds:
        sleep(0.01)
        if (now := value()) != last:
            last, since = now, monotonic()
    return last


class Database:
    """An embedded PostgreSQL that can be stopped, frozen and brought back."""

    def __init__(self, home: Home) -> None:
        self.server = EmbeddedPostgres(home)
        self.url = embedded_url(
            home.postgres_socket, OWNER, home.secret("postgres-password"), DATABASE
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.server.initialise()
        self.process = subprocess.Popen(self.server.command(), stderr=subprocess.DEVNULL)
        eventually(self.server.ready, 20)
        self.server.make_database()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.process is not None
        postmaster = psutil.Process(self.process.pid)
        frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            yield
        finally:
            for process in frozen:
                process.resume()


def make_tables(url: str) -> None:
    """The tables that the gateway reads, and those they refer to."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE accounts_user (
                id bigserial PRIMARY KEY, username text NOT NULL, is_active bool NOT NULL, is_superuser bool NOT NULL
            );
            CREATE TABLE accounts_accesstoken (
                id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES accounts_user ON DELETE CASCADE,
                digest varchar(64) NOT NULL UNIQUE, revoked_at timestamptz
            );
            CREATE TABLE endpoints_endpoint (
                id bigserial PRIMARY KEY, name varchar(32) NOT NULL UNIQUE, created_by_id bigint NOT NULL,
                primary_digest varchar(64) NOT NULL, secondary_digest varchar(64) NOT NULL
            );
            CREATE TABLE endpoints_deployment (
                id bigserial PRIMARY KEY, endpoint_id bigint NOT NULL REFERENCES endpoints_endpoint ON DELETE CASCADE,
                name varchar(32) NOT NULL, created_by_id bigint NOT NULL, wanted varchar(8) NOT NULL, traffic smallint NOT NULL
            );
            CREATE TABLE endpoints_attempt (
                id bigserial PRIMARY KEY, number integer NOT NULL,
                deployment_id bigint NOT NULL REFERENCES endpoints_deployment ON DELETE CASCADE
            );
            CREATE TABLE endpoints_replica (
                id bigserial PRIMARY KEY, attempt_id bigint NOT NULL REFERENCES endpoints_attempt ON DELETE CASCADE,
                deployment_id bigint NOT NULL REFERENCES endpoints_deployment ON DELETE CASCADE,
                wanted bool NOT NULL, state varchar(8) NOT NULL, address text NOT NULL
            );
            """
        )


@dataclass(frozen=True)
class EndpointRow:
    pk: int
    name: str
    primary: str
    secondary: str


class Rows:
    """Writes what Studio's services write, and tells the gateway."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)

    def connect(self, url: str) -> None:
        """Anew, when the database was stopped meanwhile."""
        self.connection.close()
        self.connection = psycopg.connect(url, autocommit=True)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Everything inside is one transaction that ends with the notification."""
        with self.connection.transaction():
            yield
            self.connection.execute("SELECT pg_notify(%s, '')", [ROUTES])

    def user(self, *, active: bool = True, administrator: bool = True) -> int:
        name = f"user-{secrets.token_hex(4)}"
        return self._insert(
            "accounts_user", username=name, is_active=active, is_superuser=administrator
        )

    def token(self, *, active: bool = True, administrator: bool = True) -> str:
        text = f"studio_{secrets.token_urlsafe(32)}"
        user = self.user(active=active, administrator=administrator)
        self._insert("accounts_accesstoken", user_id=user, digest=digest(text))
        return text

    def revoke(self, token: str) -> None:
        self.update("accounts_accesstoken", {"revoked_at": "now"}, digest=digest(token))

    def endpoint(self) -> EndpointRow:
        name, primary, secondary = (
            f"end-{secrets.token_hex(4)}",
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
        )
        digests = {
            "primary_digest": digest(primary),
            "secondary_digest": digest(secondary),
        }
        pk = self._insert("endpoints_endpoint", name=name, created_by_id=self.user(), **digests)
        return EndpointRow(pk, name, primary, secondary)

    def deployment(self, endpoint: EndpointRow, name: str, traffic: int, *addresses: str) -> int:
        values = {
            "name": name,
            "traffic": traffic,
            "wanted": "live",
            "created_by_id": self.user(),
        }
        pk = self._insert("endpoints_deployment", endpoint_id=endpoint.pk, **values)
        attempt = self._insert("endpoints_attempt", deployment_id=pk, number=1)
        for address in addresses:
            self._insert(
                "endpoints_replica",
                deployment_id=pk,
                attempt_id=attempt,
                state="ready",
                wanted=True,
                address=address,
            )
        return pk

    def update(self, table: str, values: Mapping[str, object], **where: object) -> None:
        statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(
            sql.Identifier(table), _assigned(", ", values), _assigned(" AND ", where)
        )
        self.connection.execute(statement, [*values.values(), *where.values()])

    def _insert(self, table: str, **values: object) -> int:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self.connection.execute(statement, list(values.values())).fetchone()
        assert row is not None
        return int(row[0])


def _assigned(between: str, values: Mapping[str, object]) -> sql.Composed:
    return sql.SQL(between).join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)


class Gateway:
    """A gateway process and a client of it."""

    def __init__(self, home: Home, limits: str = "", port: int = 0) -> None:
        """`limits`: arguments of Limits, as Python."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.root / f"gateway-{self.port}.log"
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        environment |= {
            "STUDIO_HOME": str(home.root),
            "STUDIO_SCORING_PORT": str(self.port),
            "PYTHONWARNINGS": "error::ResourceWarning",
        }
        with self.log.open("w") as stderr:
            self.process = subprocess.Popen(
                self._command(limits), cwd=ROOT, env=environment, stderr=stderr
            )
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def score(
        self,
        endpoint: EndpointRow | str,
        body: bytes | Iterator[bytes] = b"{}",
        *,
        key: str = "",
        **headers: str,
    ) -> httpx.Response:
        if isinstance(endpoint, EndpointRow):
            key, endpoint = key or endpoint.primary, endpoint.name
        given = {"authorization": f"Bearer {key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.client.post(f"/endpoints/{endpoint}/invocations", content=body, headers=given)

    def answers(self, path: str, status: int) -> bool:
        try:
            return self.client.get(path).status_code == status
        except httpx.TransportError:
            assert self.process.poll() is None, self.log.read_text()
            return False

    def knows(self, endpoint: EndpointRow) -> bool:
        """Asked with a body that is too large, so that no model server hears of it."""
        with raw_request(self, endpoint, 10**12) as client:
            return client.recv(100).startswith(b"HTTP/1.1 413 ")

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def files(self) -> int:
        """How many files and sockets the process has open."""
        return psutil.Process(self.process.pid).num_fds()

    def memory(self) -> int:
        """Bytes of memory in use."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> int:
        """End it, and return its exit code."""
        self.client.close()
        self.process.terminate()
        return self.process.wait(10)

    @staticmethod
    def _command(limits: str) -> list[str]:
        if not limits:
            return [sys.executable, "-m", "endpoints.gateway"]
        imports = "from endpoints.gateway.__main__ import main; from endpoints.gateway.limits import Limits"
        return [
            sys.executable,
            "-c",
            f"{imports}; raise SystemExit(main(Limits({limits})))",
        ]


def request_head(endpoint: EndpointRow, length: int, *headers: str) -> bytes:
    lines = [
        f"POST /endpoints/{endpoint.name}/invocations HTTP/1.1",
        "host: gateway",
        f"content-length: {length}",
    ]
    return "\r\n".join(
        [*lines, f"authorization: Bearer {endpoint.primary}", *headers, "", ""]
    ).encode()


def raw_request(
    gateway: Gateway, endpoint: EndpointRow, length: int, *headers: str
) -> socket.socket:
    """Send the head of a request, and return the connection."""
    client = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
    client.sendall(request_head(endpoint, length, *headers))
    return client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Exchange:
    """A request that a model server has read, and where its answer goes."""

    head: bytes
    body: bytes
    writer: asyncio.StreamWriter
    count: int  # requests on this connection, this one included
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        lines = self.head.decode().split("\r\n")[1:]
        self.headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines if line)
        }

    async def wait_for(self, event: threading.Event) -> None:
        while not event.is_set():
            await asyncio.sleep(0.01)

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *headers,
        ]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)


Behaviour = Callable[[Exchange], Awaitable[None]]
MakeServer = Callable[..., "ModelServer"]
MakeEndpoint = Callable[..., EndpointRow]
MakeGateway = Callable[..., Gateway]


class ModelServer:
    """A model server on a Unix socket, in a thread. What it does with a request can be changed at any time."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.address = str(folder / f"{secrets.token_hex(4)}.sock")
        self.behaviour = behaviour
        self.requests: list[Exchange] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.connections = 0  # ever
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        eventually(lambda: self._server)

    @property
    def open(self) -> int:
        """Connections at this moment."""
        return len(self.writers)

    def drop(self) -> None:
        """Close every connection, as a restarted server would have."""
        self._call(self._drop())

    def say(self, data: bytes) -> None:
        """Send on every connection, unasked."""
        for writer in list(self.writers):
            self._loop.call_soon_threadsafe(writer.write, data)

    def stop(self) -> None:
        """Listen no more. The socket's file stays, as after a crash."""
        if self._thread.is_alive():
            self._call(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._connected, self.address, backlog=1024)
        )
        self._loop.run_forever()
        self._loop.close()

    async def _drop(self) -> None:
        for writer in list(self.writers):
            writer.close()

    async def _stop(self) -> None:
        assert self._server is not None
        # First accept no more and let what is being accepted arrive: closed in between, it would leak.
        self._loop.remove_reader(self._server.sockets[0].fileno())
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks & self._serving:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.1)
        self._server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)

        def ended(
            _: asyncio.Task[None],
        ) -> None:  # not in the task: it may be cancelled before it has begun
            self._serving.discard(task)
            self.writers.discard(writer)
            writer.close()

        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            count += 1
            exchange = Exchange(head, b"", writer, count)
            exchange.body = await reader.readexactly(int(exchange.headers["content-length"]))
            self.requests.append(exchange)
            behaving = asyncio.ensure_future(self.behaviour(exchange))
            leaving = asyncio.ensure_future(_left(reader))
            try:
                await asyncio.wait({behaving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                behaving.cancel()
                leaving.cancel()
                await asyncio.gather(behaving, leaving, return_exceptions=True)


async def _left(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed."""
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.01)


async def echo(exchange: Exchange) -> None:
    await exchange.answer(exchange.body)


async def never(exchange: Exchange) -> None:
    await asyncio.Event().wait()
