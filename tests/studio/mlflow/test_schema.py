"""MLflow's tables are made by MLflow's own revisions, and Studio knows which they are at."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from studio.mlflow import schema
from studio.mlflow.survey import REVISIONS, head

pytestmark = pytest.mark.django_db
TABLES = ["alembic_version", "alembic_version_auth"]


def version(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two
        return {row[0] for row in cursor.fetchall()}


def test_after_migrate_the_tables_are_current() -> None:
    assert schema.is_current("default")
    for table, folder in REVISIONS.items():
        assert version(table) == {head(folder)}


@pytest.mark.filterwarnings("ignore:No path_separator found")
def test_the_last_revision_is_the_one_that_mlflow_means() -> None:
    from alembic.script import ScriptDirectory
    from mlflow.server.auth.db.utils import _get_alembic_config
    from mlflow.store.db.utils import _get_alembic_config as _get_tracking_config

    url = "postgresql+psycopg://"
    tracking = ScriptDirectory.from_config(_get_tracking_config(url)).get_current_head()
    permissions = ScriptDirectory.from_config(_get_alembic_config(url)).get_current_head()
    assert [head(folder) for folder in REVISIONS.values()] == [tracking, permissions]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {} SET version_num = 'older'",
        "DELETE FROM {}",
        "INSERT INTO {} VALUES ('another')",
        "DROP TABLE {}",
    ],
)
def test_any_other_revision_is_not_current(table: str, change: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change.format(table))
    assert not schema.is_current("default")


def test_upgrading_what_is_current_changes_nothing() -> None:
    before = [version(table) for table in TABLES]
    schema.upgrade("default")
    call_command("migrate", verbosity=0, interactive=False, stdout=StringIO())
    assert [version(table) for table in TABLES] == before


def test_to_look_at_a_plan_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = 'older'")
    call_command("migrate", "--plan", stdout=StringIO())
    assert version("alembic_version") == {"older"}
