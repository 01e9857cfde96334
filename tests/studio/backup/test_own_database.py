"""A database of the administrator's own that asks for TLS and is older than the programs: the same commands."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pytest_django.fixtures import Settings

from studio.backup import database, manifest
from studio.backup.copying import digest
from studio.backup.failure import BackupFailed
from studio.backup.relay import context_for
from studio.backup.take import take
from tests.studio.backup.conftest import Take
from tests.studio.backup.kit import contents, manage, tables
from tests.support.own_servers import OwnPostgres, own_servers
from tests.support.processes import until
from tests.support.rows import log_metric, make_experiment, make_run

_MADE = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = %s AND mode = 'AccessExclusiveLock'
"""
# What a restore puts right, and what the migrations after it note.
_CHANGED = {"django_session", "endpoints_agent", "launch_common"}


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_servers(tls=True) as servers:
        yield servers.postgres


@pytest.fixture
def own_url(server: OwnPostgres) -> str:
    """An empty database of it."""
    with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
        name = f"restored_{connection.info.backend_pid}"
        statement = sql.SQL("CREATE DATABASE {} OWNER studio").format(sql.Identifier(name))
        connection.execute(statement)
    return server.url(name)


@pytest.mark.django_db(transaction=True)
def test_table_by_table_the_same_comes_back_through_tls(
    back_up: Take,
    own_url: str,
    database_url: str,
    settings: Settings,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(
        make_experiment(), metrics={"loss": float("nan")}, params={"text": "a\\b\t'\"\n"}
    )
    log_metric(run, "acc", [0.1] * 500)
    made = back_up()
    given = {
        "DATABASE_URL": own_url,
        "STUDIO_HOME": str(tmp_path / "home"),
        "STUDIO_ARTIFACTS": str(tmp_path / "restored"),
    }
    manage("restore", str(made.root), more=given)
    before, after = tables(database_url), tables(own_url)
    assert {name for name in before if before[name] != after.get(name)} <= _CHANGED
    assert before.keys() == after.keys()
    assert contents(tmp_path / "restored") == contents(store)
    # And from there, where the programs speak through a relay, all of it once more.
    monkeypatch.setenv("PGSSLMODE", "verify-full")  # which the programs do not know
    settings.DATABASE_URL = own_url
    again = take(tmp_path / "again", database_only=True, say=lambda line: None)
    told = manifest.read(again)
    assert told.versions.server < 180_000
    assert (told.database, told.database_size) == digest(again.database, lambda count: None)


def test_a_dump_that_cannot_be_read_is_told(back_up: Take, own_url: str) -> None:
    dump = back_up().database
    dump.write_bytes(dump.read_bytes()[:-20_000])
    with pytest.raises(BackupFailed, match="pg_restore ended with exit code 1: pg_restore: error"):
        database.restore(own_url, dump, lambda count: None)
    database.require_empty(own_url)


def test_a_restore_that_ends_half_way_leaves_the_database_empty(
    back_up: Take, own_url: str, server: OwnPostgres
) -> None:
    class Ended(Exception):
        pass

    def moved(count: int) -> None:
        """Once tables have been made, which nobody else sees yet."""
        with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
            name = conninfo_to_dict(own_url)["dbname"]
            until(
                lambda: connection.execute(_MADE, [name]).fetchall()[0][0] > 10, "tables are made"
            )
        raise Ended

    dump = back_up().database
    with pytest.raises(Ended):
        database.restore(own_url, dump, moved)
    database.require_empty(own_url)


def test_another_server_is_not_trusted(own_url: str, server: OwnPostgres) -> None:
    assert server.certificates is not None
    known = {"sslmode": "verify-full", "sslrootcert": str(server.certificates / "ca.crt")}
    context = context_for(known)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs()
    stranger = context_for({"sslmode": "verify-ca", "sslrootcert": "/nowhere"})
    assert (stranger.verify_mode, stranger.get_ca_certs()) == (ssl.CERT_REQUIRED, [])
    assert (
        context_for({"sslmode": "require", "sslrootcert": "/nowhere"}).verify_mode == ssl.CERT_NONE
    )
