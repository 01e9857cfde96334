"""What cannot work is told by one line before anything starts. Each line is got from the real thing."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis as redis_client
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from psycopg import sql

from studio.launch import before
from studio.lib import database, redis
from tests.support.live import ROOT, environment
from tests.support.own_servers import PASSWORD, OwnServers, own_servers
from tests.support.processes import free_port

Url = Callable[[OwnServers], str]
# Roles that differ from `studio` in one thing; each is refused for it.
ROLES = {
    "reader": "ALTER ROLE reader CONNECTION LIMIT 5",  # and no right to make tables
    "frozen": "ALTER ROLE frozen SET default_transaction_read_only = on",
    "lost": "ALTER ROLE lost SET search_path = nowhere",
}


@pytest.fixture(scope="module")
def servers() -> Iterator[OwnServers]:
    with own_servers() as found:
        root = psycopg.connect(found.postgres.url("postgres", "postgres"), autocommit=True)
        with root:
            for role, also in ROLES.items():
                made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                root.execute(made.format(sql.Identifier(role), sql.Literal(PASSWORD)))
                root.execute(also.encode())
            root.execute(
                "CREATE DATABASE bytes OWNER studio TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'"
            )
        yield found


def plain(url: str) -> str:
    return url.partition("?")[0]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (lambda s: s.postgres.url(password="wrong-word"), "password authentication failed"),
        (lambda s: s.postgres.url(user="nobody"), "Correct the user or the password"),
        (lambda s: s.postgres.url("nowhere"), 'database "nowhere" does not exist. Make it with'),
        (lambda s: plain(s.postgres.url()) + "?sslmode=disable", "add ?sslmode=require"),
        (
            lambda s: plain(s.postgres.url()) + f"?sslmode=verify-full&sslrootcert={__file__}",
            "sslrootcert and the server's certificate must fit",
        ),
        (
            lambda s: s.postgres.url().replace("127.0.0.1", "db.example") + "&hostaddr=127.0.0.1",
            "does not match host name",
        ),
        (lambda s: s.postgres.url(user="reader"), "GRANT CREATE ON SCHEMA public TO reader"),
        (lambda s: s.postgres.url(user="frozen"), "it takes no writes"),
        (lambda s: s.postgres.url(user="lost"), "search_path"),
        (lambda s: s.postgres.url("bytes"), "its encoding is SQL_ASCII"),
        (
            lambda s: f"postgresql://u:wrong-word@127.0.0.1:{free_port()}/d",
            "Connection refused",
        ),
        (lambda s: f"postgresql://u:wrong-word@127.0.0.1:{s.redis.port}/d", "correct the address"),
        (lambda s: "postgresql://u:wrong-word@no-such-host.invalid/d", "correct the address"),
        (lambda s: "postgresql:///d?host=/nowhere", "No such file or directory"),
    ],
)
def test_a_postgresql_that_cannot_be_used(servers: OwnServers, url: Url, told: str) -> None:
    line = refusal(lambda: database.refuse_unusable(url(servers)))
    assert line.startswith("DATABASE_URL: postgresql://")
    assert told in line


def test_a_postgresql_that_is_too_old(servers: OwnServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian has none: the rule is moved above the one that is there."""
    monkeypatch.setattr(database, "_OLDEST", (990000, "99"))
    line = refusal(lambda: database.refuse_unusable(servers.postgres.url()))
    assert re.search(r"this is PostgreSQL \d+\. Studio needs 99 or later$", line)


def test_a_server_that_says_nothing_is_not_waited_for(servers: OwnServers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2"
        assert "correct the address" in refusal(lambda: database.refuse_unusable(url))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (lambda s: s.redis.url(password="wrong-word"), "Correct the user or the password"),
        (lambda s: plain(s.redis.url()), "certificate must fit"),
        (lambda s: s.redis.url(database=99), "Databases are numbered"),
        (lambda s: s.redis.url().replace("rediss", "redis").partition("?")[0], "rediss://"),
        (lambda s: f"redis://127.0.0.1:{free_port()}", "Start Redis there, or correct"),
        (lambda s: f"redis://:wrong-word@127.0.0.1:{s.postgres.port}", "Is it a Redis"),
        (lambda s: "redis://:wrong-word@no-such-host.invalid", "correct the address"),
        (lambda s: "unix:///nowhere/redis.sock", "No such file or directory"),
    ],
)
def test_a_redis_that_cannot_be_used(servers: OwnServers, url: Url, told: str) -> None:
    line = refusal(lambda: redis.refuse_unusable(url(servers)))
    assert line.startswith("REDIS_URL: ")
    assert told in line


def test_a_redis_that_is_none(servers: OwnServers) -> None:
    with _answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        line = refusal(lambda: redis.refuse_unusable(f"redis://127.0.0.1:{port}"))
    assert "This is no Redis" in line


def test_a_redis_that_takes_no_writes(servers: OwnServers) -> None:
    with redis_client.Redis.from_url(servers.redis.url()) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        try:
            line = refusal(lambda: redis.refuse_unusable(servers.redis.url()))
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
    assert "It is a replica" in line


def test_those_that_can_be_used_are_not_refused(servers: OwnServers) -> None:
    with override_settings(
        DATABASE_URL=servers.postgres.url(),
        REDIS_URL=servers.redis.url(),
        POSTGRES_EMBEDDED=False,
        REDIS_EMBEDDED=False,
    ):
        before.refuse_what_cannot_work()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("ADMIN_PASSWORD", "geheim", "STUDIO_ADMIN_PASSWORD: This password is too short"),
        ("ADMIN_PASSWORD", "password1234", "STUDIO_ADMIN_PASSWORD: This password is too common"),
        ("ADMIN_PASSWORD", "administrator", "STUDIO_ADMIN_PASSWORD: "),
        ("ADMIN_USERNAME", "with a space", "STUDIO_ADMIN_USERNAME='with a space': "),
        ("ADMIN_USERNAME", "x" * 200, "STUDIO_ADMIN_USERNAME="),
        ("ARTIFACTS", Path(__file__), "STUDIO_ARTIFACTS="),
        ("ARTIFACTS", Path("/proc/nothing-is-made-here"), "STUDIO_ARTIFACTS="),
    ],
)
def test_what_the_first_administrator_or_the_artifacts_cannot_be(
    setting: str, value: object, told: str
) -> None:
    with override_settings(**{"ADMIN_USERNAME": "administrator-1", setting: value}):
        line = refusal(before.refuse_what_cannot_work)
    assert line.startswith(told)
    if setting == "ADMIN_PASSWORD":
        assert str(value) not in line


@pytest.mark.parametrize("command", ["up", "prepare", "migrate", "token"])
def test_every_command_tells_it_in_one_line(
    servers: OwnServers, tmp_path: Path, command: str
) -> None:
    own = servers.settings | {"DATABASE_URL": servers.postgres.url(password="wrong-word")}
    more = ["--user", "admin", "--name", "x"] if command == "token" else []
    done = manage(tmp_path / "home", command, *more, own=own)
    (line,) = done.stderr.splitlines()
    assert "DATABASE_URL: postgresql://studio@127.0.0.1" in line
    assert "Correct the user or the password" in line
    assert (done.returncode, "wrong-word" in line) == (1, False)


def test_an_embedded_database_that_is_not_there_is_said_to_be_studio_not_running(
    tmp_path: Path,
) -> None:
    done = manage(tmp_path, "prepare")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"CommandError: Studio is not running at STUDIO_HOME={tmp_path}.")
    assert done.returncode == 1


@pytest.mark.parametrize("command", ["up", "status"])
def test_a_home_that_an_unprivileged_user_may_not_write(tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    done = manage(home, command, as_nobody=True)
    (line,) = done.stderr.splitlines()
    assert f"STUDIO_HOME={home} cannot be used: " in line
    assert "set STUDIO_HOME to another folder" in line
    assert done.returncode == 1
    assert list(home.iterdir()) == []


def test_a_home_that_has_become_another_user_s(tmp_path: Path) -> None:
    """All secrets are there to be read, or given, and nothing can be written."""
    home = tmp_path / "home"
    manage(home, "check")
    home.chmod(0o555)
    done = manage(home, "up", as_nobody=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"CommandError: STUDIO_HOME={home} cannot be written: ")
    assert done.returncode == 1


def refusal(do: Callable[[], None]) -> str:
    with pytest.raises(ImproperlyConfigured) as told:
        do()
    (line,) = str(told.value).splitlines()
    for secret in (PASSWORD, "wrong-word"):
        assert secret not in line
    return line


def manage(
    home: Path, *command: str, as_nobody: bool = False, own: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that is to be refused. As root, `as_nobody` may read everything still, and write nothing."""
    nobody: list[str] = []
    if as_nobody and os.geteuid() == 0:
        reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *reading, "--"]
    return subprocess.run(
        [*nobody, sys.executable, str(ROOT / "manage.py"), *command],
        env=environment(home, free_port(), free_port()) | (own or {}),
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def _answering(reply: bytes) -> Iterator[int]:
    """A server that gives every caller the same answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(1024)
                caller.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()
