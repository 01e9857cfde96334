"""What the gateway's tests stand on: a real database and real gateway processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
from tests.support.processes import free_port

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

    def frozen(self) -> contextlib.AbstractContextManager[None]:
        assert self.process is not None
        return frozen(self.process.pid)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A PostgreSQL whose processes are stopped where they are: its backends lead process groups of their own."""
    postmaster = psutil.Process(pid)
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def make_tables(home: Home) -> None:
    """Bring the home's database to Studio's schema."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"]
    environment = own_environment(home)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def own_environment(home: Home, **more: str) -> dict[str, str]:
    """The environment of a process of this home."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"STUDIO_HOME": str(home.root)} | more


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
            "replicas_wanted": 1,
            "memory_mb": 2048,
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

    def _required(self, table: str) -> dict[str, object]:
        """The columns that must have a value and get none by themselves."""
        columns = self.connection.execute(
            """
            SELECT column_name, data_type FROM information_schema.columns
            WHERE table_name = %s AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
            """,
            [table],
        )
        return {name: _FILLERS.get(kind, "") for name, kind in columns}

    def update(self, table: str, values: Mapping[str, object], **where: object) -> None:
        statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(
            sql.Identifier(table), _assigned(", ", values), _assigned(" AND ", where)
        )
        self.connection.execute(statement, [*values.values(), *where.values()])

    def _insert(self, table: str, **given: object) -> int:
        values = self._required(table) | given
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self.connection.execute(statement, list(values.values())).fetchone()
        assert row is not None
        return int(row[0])


# What a required column gets when a test does not care.
_FILLERS: dict[str, object] = {
    "boolean": False,
    "timestamp with time zone": "now",
    "integer": 0,
    "smallint": 0,
    "bigint": 0,
}


def _assigned(between: str, values: Mapping[str, object]) -> sql.Composed:
    return sql.SQL(between).join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)


class Gateway:
    """A gateway process and a client of it."""

    def __init__(self, home: Home, limits: str = "", port: int = 0) -> None:
        """`limits`: arguments of Limits, as Python."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.root / f"gateway-{self.port}.log"
        environment = own_environment(
            home, STUDIO_SCORING_PORT=str(self.port), PYTHONWARNINGS="error::ResourceWarning"
        )
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


MakeEndpoint = Callable[..., EndpointRow]
MakeGateway = Callable[..., Gateway]
