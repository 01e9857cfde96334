"""A database of each earlier version, as tests/data keeps it, becomes one of this version, with all that is in it.

`tests.support.dump` writes the dumps, and says when.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from tests.support.databases import aliased, database, shape
from tests.support.dump import DATA, ROOT, state

DUMPS = sorted(DATA.glob("schema-*.sql"))
# What Django and MLflow write down of a version, and what they make anew.
OF_VERSION = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "alembic_version",
    "alembic_version_auth",
}
Rows = dict[str, tuple[tuple[str, ...], list[tuple[object, ...]]]]


class Upgraded(NamedTuple):
    """The rows of each table that had any, by the columns that it had; then what there is after the upgrade."""

    before: Rows
    after: Rows
    shape: set[str]


def ours() -> set[str]:
    """The labels of Studio's own applications."""
    configs = apps.get_app_configs()
    return {one.label for one in configs if (ROOT / one.name.replace(".", "/")).is_dir()}


def migrations() -> set[tuple[str, str]]:
    return {key for key in MigrationLoader(None).disk_migrations if key[0] in ours()}


def rows(url: str, known: Rows | None = None) -> Rows:
    """All rows, of the tables and columns that are known, or else of all."""
    found: Rows = {}
    with psycopg.connect(url) as opened:
        statement = (
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
            "WHERE table_schema = 'public' GROUP BY table_name"
        )
        tables = {name: tuple(columns) for name, columns in opened.execute(statement).fetchall()}
        if known is not None:
            tables = {name: columns for name, (columns, _) in known.items()}
        for name, columns in tables.items():
            listed = sql.SQL(", ").join(map(sql.Identifier, columns))
            asked = sql.SQL("SELECT {} FROM {} t ORDER BY t::text").format(
                listed, sql.Identifier(name)
            )
            found[name] = (columns, opened.execute(asked).fetchall())
    return found


@pytest.fixture(scope="module", params=DUMPS, ids=lambda path: path.stem)
def upgraded(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Upgraded]:
    with database() as url:
        with psycopg.connect(url) as opened:
            opened.execute(request.param.read_text().encode())
        before = rows(url)
        with aliased(url) as alias, django_db_blocker.unblock():
            call_command("migrate", database=alias, verbosity=0, interactive=False)
        with psycopg.connect(url) as opened, opened.cursor() as cursor:
            found = shape(cursor)
        yield Upgraded(before, rows(url, before), found)


def test_every_row_is_there_as_it_was(upgraded: Upgraded) -> None:
    kept = [name for name in upgraded.before if name not in OF_VERSION]
    assert {"runs", "metrics", "users", "endpoints_endpoint", "accounts_user"} <= set(kept)
    for name in kept:
        assert upgraded.after[name] == upgraded.before[name], name


@pytest.mark.django_db
def test_it_is_made_as_a_database_of_this_version_is(upgraded: Upgraded) -> None:
    with connection.cursor() as cursor:
        assert upgraded.shape == shape(cursor)


def test_a_dump_has_a_row_in_every_table_of_studios(upgraded: Upgraded) -> None:
    prefixes = tuple(f"{label}_" for label in ours())
    own = {name: found for name, (_, found) in upgraded.before.items() if name.startswith(prefixes)}
    linking = {"accounts_user_groups", "accounts_user_user_permissions"}
    assert {name for name, found in own.items() if not found} == linking


def test_every_state_of_the_migrations_that_others_may_have_has_its_dump() -> None:
    wanted = f"schema-{state({'.'.join(key) for key in migrations()})}.sql"
    assert wanted in {path.name for path in DUMPS}, (
        f"There is no tests/data/{wanted}. Once the migrations are final, run "
        "`.venv/bin/python -m tests.support.dump` and add what it has written."
    )
