"""A database as one moment of it: dumped and read by the PostgreSQL 18 programs that come with Studio.

The programs of PATH are never asked: an older pg_dump refuses a newer server. What they write goes through
this process, which shows how far it is. When it dies they end with it, and PostgreSQL undoes a restore.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from studio.backup.copying import PIECE, Moved
from studio.backup.failure import BackupFailed
from studio.backup.relay import address_of
from studio.launch.postgres import program

_BEGINNING = 64 * 1024  # bytes
_NEW_IN_17 = b"\nSET transaction_timeout = 0;\n"
_PATIENCE = 60  # seconds
_NEWEST = 18  # that the programs understand
_REVISIONS = ("alembic_version", "alembic_version_auth")
_OURS = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' AND relkind IN ('r', 'p', 'v', 'm', 'S')
AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
"""
_TABLES = """
SELECT coalesce(sum(pg_table_size(pg_class.oid)), 0)::bigint, pg_database_size(current_database())
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
"""
# Whatever names a folder of a model's files itself; what refers to another row is named by that one.
_MODELS = """
SELECT 'version ' || version || ' of ' || name, coalesce(storage_location, source) FROM model_versions
WHERE current_stage IS DISTINCT FROM 'Deleted_Internal' AND coalesce(storage_location, source, '') <> ''
UNION ALL
SELECT 'model ' || model_id, artifact_location FROM logged_models
WHERE lifecycle_stage IS DISTINCT FROM 'deleted' AND status = 2
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes: at most what a dump of it holds, and what the database itself does."""

    dump: int
    room: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the database, kept open for as long as this is used."""

    name: str
    connection: psycopg.Connection[Any]

    def server(self) -> int:
        return self.connection.info.server_version

    def revisions(self) -> dict[str, str]:
        """MLflow's, by the table that holds them. Without them it is no database of Studio's."""
        found = {}
        for table in _REVISIONS:
            if not self._asked("SELECT to_regclass(%s)", [table])[0][0]:
                raise BackupFailed(
                    "The database has no tables of Studio's yet: there is nothing to back up."
                )
            query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(table))
            found[table] = ",".join(sorted(row[0] for row in self._asked(query)))
        return found

    def migrations(self) -> list[str]:
        return [
            row[0]
            for row in self._asked("SELECT app || '.' || name FROM django_migrations ORDER BY id")
        ]

    def common(self) -> tuple[str, str] | None:
        """Store and key that all hosts of the Studio use, as studio.launch.hosts tells them. None: not noted yet."""
        if not self._asked("SELECT to_regclass('launch_common')")[0][0]:
            return None
        found = self._asked("SELECT artifacts, secret_key FROM launch_common")
        return found[0] if found else None

    def models(self) -> list[tuple[str, str]]:
        """What has files of a model, in words, and where those lie."""
        return self._asked(_MODELS)

    def dump(self, target: Path, moved: Moved) -> tuple[str, int]:
        """Write all of the database as it was. Returns SHA-256 and size."""
        options = [f"--snapshot={self.name}", "--format=custom", "--compress=gzip:3"]
        options += ["--no-owner", "--no-privileges", f"--lock-wait-timeout={_PATIENCE}s"]
        summary = hashlib.sha256()
        with target.open("wb") as file:
            with _client("pg_dump", self.connection, *options, stdout=subprocess.PIPE) as process:
                for piece in _pieces(process.stdout):
                    summary.update(piece)
                    file.write(piece)
                    moved(len(piece))
            return summary.hexdigest(), file.tell()

    def _asked(self, query: Any, values: list[str] | None = None) -> list[Any]:
        return self.connection.execute(query, values).fetchall()


def size(url: str) -> Size:
    with _connected(url) as connection:
        found = connection.execute(_TABLES).fetchone()
    assert found is not None
    return Size(*found)


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """The database as it is now. Raises BackupFailed where it cannot be reached or dumped."""
    with _connected(url) as connection:
        # However long the dump takes, its moment is not given up.
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        found = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert found is not None
        yield Snapshot(found[0], connection)


def require_empty(url: str) -> None:
    """Raises BackupFailed where there is a table, view or sequence; what an extension brings does not count."""
    with _connected(url) as connection:
        found = connection.execute(_OURS).fetchone()
    assert found is not None
    if found[0]:
        raise BackupFailed(
            f"The database of DATABASE_URL is not empty, {found[0]} tables, views and sequences are in it. "
            "Restore into a new one (CREATE DATABASE), and set DATABASE_URL to that."
        )


def restore(url: str, dump: Path, moved: Moved) -> None:
    """Write all of the dump into an empty database: all or nothing, in one transaction that is ended here."""
    options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--output={os.devnull}"]
    with (
        _connected(url) as connection,
        _client("psql", connection, *options, stdin=subprocess.PIPE) as client,
    ):
        assert client.stdin is not None
        try:
            client.stdin.write(b"BEGIN;\n")
            for piece in _statements(dump, connection.info.server_version):
                client.stdin.write(piece)
                moved(len(piece))
            client.stdin.write(b"COMMIT;\n")
            client.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why


def _statements(dump: Path, server: int) -> Iterator[bytes]:
    """The dump as SQL. Its beginning sets what servers before PostgreSQL 17 do not know."""
    options = ["--file=-", "--no-owner", "--no-privileges", str(dump)]
    with _running("pg_restore", options, _without_postgres(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        beginning = process.stdout.read(_BEGINNING)
        yield beginning if server >= 170_000 else beginning.replace(_NEW_IN_17, b"\n", 1)
        yield from _pieces(process.stdout)


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as failure:
        raise BackupFailed(f"The database cannot be reached: {failure}") from None
    with connection:
        _require_understood(connection)
        # A table that somebody changes is waited for, but not for ever.
        connection.execute(f"SET lock_timeout = '{_PATIENCE}s'")
        yield connection


def _require_understood(connection: psycopg.Connection[Any]) -> None:
    major = connection.info.server_version // 10_000
    if major > _NEWEST:
        raise BackupFailed(
            f"The database runs on PostgreSQL {major}, the programs of this Studio are of {_NEWEST}: "
            f"use the pg_dump of PostgreSQL {major}, or an earlier server."
        )


@contextmanager
def _client(
    name: str,
    connection: psycopg.Connection[Any],
    *options: str,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """One of PostgreSQL's programs on the connection's database."""
    with address_of(connection) as address:
        # Every user of the machine can read a command line.
        environment = _without_postgres() | {"PGPASSWORD": address.pop("password", "")}
        options = (*options, "--no-password", f"--dbname={make_conninfo('', **address)}")
        with _running(name, options, environment, stdin=stdin, stdout=stdout) as process:
            yield process


@contextmanager
def _running(
    name: str,
    options: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, killed if the block raises. Raises BackupFailed with its words if it fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [str(program(name)), *options],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=said,
        )
        try:
            yield process
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        if code:
            said.seek(0)
            words = said.read(4000).decode(errors="replace").strip()
            raise BackupFailed(f"{name} ended with exit code {code}: {words}")


def _without_postgres() -> dict[str, str]:
    """The environment without what libpq reads from it: the address says all of it, as far as a program may know it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _pieces(source: IO[bytes] | None) -> Iterator[bytes]:
    assert source is not None
    while piece := source.read(PIECE):
        yield piece
