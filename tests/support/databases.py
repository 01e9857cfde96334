"""Databases of their own beside the tests', as MLflow or somebody else has left them."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from studio.lib.database import django_database, embedded_url, sqlalchemy_url
from tests.support.processes import until

_numbers = itertools.count(1)


@contextmanager
def database(template: str = "") -> Iterator[str]:
    """The address of a new database in the embedded PostgreSQL, which must run: empty, or a copy of another."""
    name = f"scratch_{next(_numbers)}"
    made, of = sql.Identifier(name), conninfo_to_dict(template).get("dbname", "template1")
    with psycopg.connect(url_of("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(made))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, sql.Identifier(str(of)))
        )
        try:
            yield url_of(name)
        finally:
            until(lambda: _dropped(connection, made), f"{name} is dropped")


def _dropped(connection: psycopg.Connection[Any], name: sql.Identifier) -> bool:
    """Not while PostgreSQL itself vacuums it: only a superuser ends that, and it ends soon."""
    try:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@contextmanager
def aliased(url: str, alias: str = "another") -> Iterator[str]:
    """The database as one that management commands can be told of."""
    given = {"default": django_database(url)}
    connections.databases[alias] = connections.configure_settings(given)["default"]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections.databases[alias]
        del connections[alias]


def for_mlflow(url: str) -> str:
    return sqlalchemy_url(django_database(url))


def make_tracking(url: str, revision: str = "heads") -> None:
    """MLflow's tables at this revision, by MLflow's own revisions."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(for_mlflow(url), poolclass=sqlalchemy.pool.NullPool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Base.metadata.create_all(engine)
        config = utils._get_alembic_config(for_mlflow(url))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    engine.dispose()


def make_permissions(url: str, revision: str = "head") -> None:
    """The tables of MLflow's users and permissions at this revision."""
    import sqlalchemy
    from mlflow.server.auth.db import utils

    engine = sqlalchemy.create_engine(for_mlflow(url), poolclass=sqlalchemy.pool.NullPool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utils.migrate(engine, revision)
    engine.dispose()


def url_of(name: str) -> str:
    password = settings.HOME.secret("postgres-password")
    return embedded_url(settings.HOME.postgres_socket, "studio", password, name)


_SHAPE = r"""
SELECT concat_ws(' ', 'column', table_name, column_name, data_type, character_maximum_length, is_nullable,
                 column_default, is_identity, identity_generation)
FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype <> 'n'
UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid)) FROM pg_trigger t
JOIN pg_class c ON c.oid = tgrelid
WHERE NOT tgisinternal AND c.relnamespace = current_schema()::regnamespace
UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(oid)) FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'
UNION ALL SELECT concat_ws(' ', 'sequence', sequencename, data_type) FROM pg_sequences
WHERE schemaname = current_schema()
"""
_CONTENT = "SELECT md5(coalesce(string_agg(t::text, ';' ORDER BY t::text), '')), count(*) FROM {} t"


def shape(cursor: Any) -> set[str]:
    """What there is in the database, whatever lies in it: a line each. A dump writes the casts of a check anew."""
    cursor.execute(_SHAPE)
    lines = (row[0] for row in cursor.fetchall())
    return {
        re.sub(r"::[a-z ]+(\[\])?|[()]", "", line) if " CHECK " in line else line for line in lines
    }


def contents(url: str) -> dict[str, tuple[str, int]]:
    """A checksum over all rows of each table, and how many they are."""
    with psycopg.connect(url) as connection:
        names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        found = {}
        for (name,) in connection.execute(names).fetchall():
            told = connection.execute(sql.SQL(_CONTENT).format(sql.Identifier(name))).fetchone()
            assert told is not None
            found[name] = (str(told[0]), int(told[1]))
    return found
