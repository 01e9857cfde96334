"""A PostgreSQL and a Redis as an administrator brings them: Debian's programs on loopback TCP, with TLS and passwords.

with own_servers() as servers, studio(more=servers.settings) as running: ...
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql

from studio.launch.account import account
from tests.support.authority import make_certificates
from tests.support.processes import free_port, until

# A password with everything in it that an address must escape.
PASSWORD = "p@ss/w:rd%20?#"
_PROGRAMS = Path("/usr/lib/postgresql")


class OwnServer:
    """A server process that can be started, killed as a crash would, and started again with what it has kept."""

    def __init__(self, folder: Path, certificates: Path | None) -> None:
        self.folder = folder
        self.certificates = certificates
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd="/")
        name = type(self).__name__
        try:
            until(self.answers, f"{name} answers", 30)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{(self.folder / 'log').read_text()[-4000:]}") from None

    def kill(self) -> None:
        """SIGKILL to all of its processes at once. It writes nothing down."""
        if self.process is None:
            return
        leader = psutil.Process(self.process.pid)
        family = [leader, *leader.children(recursive=True)]
        for one in family:
            one.suspend()
        for one in family:
            one.kill()
        self.process.wait(10)
        psutil.wait_procs(family, 10)
        self.process = None

    def stop(self, by: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait(20)
            self.process = None


class OwnPostgres(OwnServer):
    """The oldest PostgreSQL of Debian's on this machine: `studio` owns the database `studio` and may no more."""

    def initialise(self) -> None:
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        for path in (self.folder, data, password):
            _give_to_account(path)
        command = [*_as_account(), str(postgres_program("initdb")), "-D", str(data), "-E", "UTF8"]
        command += ["-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}", "-N"]
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        way = "hostssl" if self.certificates else "host"
        (data / "pg_hba.conf").write_text(f"{way} all all 127.0.0.1/32 scram-sha-256\n")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
        }
        if self.certificates:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": self.certificates / "server.crt",
                "ssl_key_file": self._own_key(),
            }
        flags = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        program = str(postgres_program("postgres"))
        return [*_as_account(), program, "-D", str(self.folder / "data"), *flags]

    def make_database(self, name: str = "studio", owner: str = "studio") -> None:
        with closing(
            psycopg.connect(self.url("postgres", "postgres"), autocommit=True)
        ) as connection:
            role, word = sql.Identifier(owner), sql.Literal(PASSWORD)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, word))
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), role)
            )

    def url(self, database: str = "studio", user: str = "studio", password: str = PASSWORD) -> str:
        """As an administrator writes it into DATABASE_URL."""
        checked = f"?sslmode=verify-full&sslrootcert={quote(str(self.certificates))}/ca.crt"
        login = f"{user}:{quote(password, safe='')}"
        address = f"postgresql://{login}@127.0.0.1:{self.port}/{database}"
        return address + (checked if self.certificates else "")

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres", "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _own_key(self) -> Path:
        """PostgreSQL takes a key only from its own account or root, and closed to others."""
        assert self.certificates is not None
        path = self.folder / "server.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes((self.certificates / "server.key").read_bytes())
            _give_to_account(path)
        return path


class OwnRedis(OwnServer):
    def command(self) -> list[str]:
        settings = {
            "bind": "127.0.0.1",
            "port": 0 if self.certificates else self.port,
            "requirepass": f'"{PASSWORD}"',
            "dir": f'"{self.folder}"',
            "appendonly": "yes",
            "save": '""',
        }
        if self.certificates:
            settings |= {
                "tls-port": self.port,
                "tls-cert-file": f'"{self.certificates / "server.crt"}"',
                "tls-key-file": f'"{self.certificates / "server.key"}"',
                "tls-ca-cert-file": f'"{self.certificates / "ca.crt"}"',
                "tls-auth-clients": "no",
            }
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return [redis_program(), str(config)]

    def url(self, password: str = PASSWORD, database: int = 0) -> str:
        """As an administrator writes it into REDIS_URL."""
        scheme = "rediss" if self.certificates else "redis"
        checked = (
            f"?ssl_ca_certs={quote(str(self.certificates))}/ca.crt" if self.certificates else ""
        )
        return f"{scheme}://:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}{checked}"

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@dataclass(frozen=True, slots=True)
class OwnServers:
    postgres: OwnPostgres
    redis: OwnRedis
    certificates: (
        Path | None
    )  # a folder with ca.crt, server.crt and server.key; the server's names are 127.0.0.1 and localhost

    @property
    def settings(self) -> dict[str, str]:
        """What an administrator sets."""
        return {"DATABASE_URL": self.postgres.url(), "REDIS_URL": self.redis.url()}


@contextmanager
def own_servers(*, tls: bool = True) -> Iterator[OwnServers]:
    """Both servers, started and empty but for the database `studio`; ended and deleted with the block."""
    root = Path(tempfile.mkdtemp(prefix="studio-own-"))
    root.chmod(0o711)  # PostgreSQL's account passes through
    folders = [root / name for name in ("certificates", "postgres", "redis")]
    for folder in folders:
        folder.mkdir(mode=0o711)
    certificates = make_certificates(folders[0]) if tls else None
    postgres, cache = OwnPostgres(folders[1], certificates), OwnRedis(folders[2], certificates)
    try:
        postgres.initialise()
        postgres.start()
        cache.start()
        postgres.make_database()
        yield OwnServers(postgres, cache, certificates)
    finally:
        cache.stop(signal.SIGTERM)
        postgres.stop(signal.SIGINT)
        shutil.rmtree(root, ignore_errors=True)


def postgres_program(name: str) -> Path:
    """Of the oldest version that Debian's packages have put here."""
    found = sorted(_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    assert found, "the tests need Debian's PostgreSQL: run 'apt-get install postgresql' as root"
    return found[0]


def redis_program() -> str:
    found = shutil.which("redis-server")
    assert found, "the tests need Debian's Redis: run 'apt-get install redis-server' as root"
    return found


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    return account() if os.geteuid() == 0 else None


def _as_account() -> list[str]:
    user = _account()
    if user is None:
        return []
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


def _give_to_account(path: Path) -> None:
    user = _account()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)
