"""`manage.py migrate` on a database that MLflow has filled: as it is, after an upgrade, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from studio.mlflow import schema
from studio.mlflow.survey import REVISIONS, head
from tests.support.databases import (
    aliased,
    contents,
    database,
    make_permissions,
    make_tracking,
    shape,
)
from tests.support.live import environment
from tests.support.processes import free_port

# The first that MLflow wrote down, of 2019 and 2023: it has left the tables of its grants since.
TRACKING, PERMISSIONS = "451aebb31d03", "8606fa83a998"
PLACES = ["mlflow-artifacts:/1", "s3://bucket/team/1", "s3://bucket/team/2", "file:///srv/mlruns/3"]


class Mlflows:
    """A database of its own, and `manage.py migrate` on it."""

    def __init__(self, url: str, alias: str) -> None:
        self.url, self.alias = url, alias

    def execute(self, statement: str, *given: object) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), given or None)

    def add_experiment(self, place: str, runs: int = 1) -> None:
        """One whose artifacts lie there, and those of its runs below."""
        self.execute(
            "WITH made AS (INSERT INTO experiments (name, artifact_location, lifecycle_stage) "
            "VALUES (%s, %s, 'active') RETURNING experiment_id, artifact_location) "
            "INSERT INTO runs (run_uuid, artifact_uri, status, lifecycle_stage, experiment_id) "
            "SELECT md5(artifact_location || n), artifact_location || '/' || n || '/artifacts', 'FINISHED', "
            "'active', experiment_id FROM made, generate_series(1, %s) n",
            *(place, place, runs),
        )

    def migrate(self, *options: str) -> str:
        told = StringIO()
        flags = ["--verbosity=0", "--no-input", f"--database={self.alias}", *options]
        call_command("migrate", *flags, stdout=told)
        return told.getvalue()

    def shape(self) -> set[str]:
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            return shape(cursor)

    def versions(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            asked = (f"SELECT version_num FROM {table}" for table in REVISIONS)  # noqa: S608
            return [row[0] for one in asked for row in connection.execute(one.encode()).fetchall()]


@pytest.fixture(scope="module")
def older_template(stores: None) -> Iterator[str]:
    with database() as url:
        make_tracking(url, TRACKING)
        make_permissions(url, PERMISSIONS)
        yield url


@pytest.fixture(scope="module")
def current_template(stores: None) -> Iterator[str]:
    with database() as url:
        make_tracking(url)
        yield url


@pytest.fixture
def older(
    older_template: str, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Mlflows]:
    """As the MLflow of long ago has left it, with a grant."""
    with database(older_template) as url, aliased(url) as alias, django_db_blocker.unblock():
        found = Mlflows(url, alias)
        found.add_experiment(PLACES[0], runs=3)
        found.execute(
            "INSERT INTO users (id, username, password_hash, is_admin) VALUES (7, 'ann', 'x', false); "
            "INSERT INTO experiment_permissions (experiment_id, user_id, permission) VALUES ('1', 7, 'EDIT')"
        )
        yield found


@pytest.fixture
def current(
    current_template: str, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Mlflows]:
    """As a server without users leaves it."""
    with database(current_template) as url, aliased(url) as alias, django_db_blocker.unblock():
        yield Mlflows(url, alias)


def test_an_older_one_is_refused_with_the_commands_and_nothing_is_written(older: Mlflows) -> None:
    before = contents(older.url), older.shape()
    with pytest.raises(CommandError) as refused:
        older.migrate()
    told = str(refused.value)
    assert "\n" not in told
    name = connections[older.alias].settings_dict["NAME"]
    assert "`pg_dump --host " in told
    assert f"--username studio --format=custom --file={name}.dump {name}`" in told
    assert "manage.py migrate --adopt" in told
    assert str(connections[older.alias].settings_dict["PASSWORD"]) not in told
    assert (contents(older.url), older.shape()) == before


def test_a_start_on_an_older_one_ends_with_that_one_line(older: Mlflows, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=settings.BASE_DIR,
        env=environment(tmp_path, free_port(), free_port()) | {"DATABASE_URL": older.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: The tables in the database scratch_")
    assert "`manage.py migrate --adopt`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_older_one_is_upgraded_with_all_that_is_in_it_where_that_is_said(older: Mlflows) -> None:
    assert "Adopted MLflow's database: 1 experiments, 3 runs." in older.migrate("--adopt")
    assert older.versions() == [head(folder) for folder in REVISIONS.values()]
    with psycopg.connect(older.url) as connection:
        held = (
            "SELECT username, resource_type, resource_pattern, permission FROM users "
            "JOIN user_role_assignments a ON a.user_id = users.id JOIN role_permissions p USING (role_id)"
        )
        assert connection.execute(held).fetchall() == [("ann", "experiment", "1", "EDIT")]
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM accounts_user").fetchone() == (0,)
    assert older.migrate() == ""  # from now on it is Studio's


def test_an_upgrade_that_fails_leaves_what_was_there(older: Mlflows) -> None:
    older.execute("CREATE TABLE budget_policies (id int)")
    before = contents(older.url)
    with pytest.raises(CommandError, match='"budget_policies" already exists') as refused:
        older.migrate("--adopt")
    assert "\n" not in str(refused.value)
    assert contents(older.url) == before


def test_studios_own_is_upgraded_without_a_word(older: Mlflows) -> None:
    older.execute(
        "CREATE TABLE django_migrations (id bigint GENERATED BY DEFAULT AS IDENTITY, app varchar(255), "
        "name varchar(255), applied timestamptz DEFAULT now()); "
        "INSERT INTO django_migrations (app, name) VALUES ('contenttypes', '0001_initial'); "
        "CREATE TABLE django_content_type (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "
        "name varchar(100) NOT NULL, app_label varchar(100), model varchar(100), UNIQUE (app_label, model))"
    )
    assert older.migrate() == ""
    assert older.versions() == [head(folder) for folder in REVISIONS.values()]


def test_one_of_the_same_version_is_left_as_it_is(current: Mlflows) -> None:
    current.add_experiment(PLACES[0])
    before = contents(current.url)
    assert "Adopted" in current.migrate()
    after = contents(current.url)
    assert {name: after[name] for name in before} == before
    assert after["users"][1] == 0


def test_artifacts_that_lie_elsewhere_are_counted_with_the_setting_to_change(
    current: Mlflows, settings: Settings, tmp_path: Path
) -> None:
    settings.ARTIFACTS = tmp_path
    (tmp_path / "1").mkdir()
    for place, runs in zip([*PLACES, f"{tmp_path}/5"], [1, 2, 3, 4, 5], strict=True):
        current.add_experiment(place, runs)
    told = current.migrate()
    assert "5 experiments, 15 runs. 9 runs and 3 experiments have their artifacts outside" in told
    assert f"STUDIO_ARTIFACTS={tmp_path} (most below s3://bucket/team)" in told
    assert "kept for them" not in told
    assert told.count("\n") == 1


def test_an_object_store_that_is_studios_is_not_elsewhere(
    current: Mlflows, settings: Settings
) -> None:
    settings.ARTIFACTS = "s3://bucket/team"
    current.add_experiment(PLACES[1])
    assert current.migrate() == "Adopted MLflow's database: 1 experiments, 1 runs.\n"


def test_artifacts_that_mlflows_server_kept_are_looked_for(
    current: Mlflows, settings: Settings, tmp_path: Path
) -> None:
    settings.ARTIFACTS = tmp_path
    current.add_experiment(PLACES[0], runs=2)
    told = current.migrate()
    assert "2 runs have artifacts that MLflow's server kept for them" in told
    assert "--artifacts-destination" in told


def test_what_mlflow_has_sealed_needs_the_key_that_it_had(
    current: Mlflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = "INSERT INTO webhooks (webhook_id, name, url, secret) VALUES ('{0}', '{0}', 'x', {1})"
    current.execute(webhook.format("open", "NULL"))
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "as it had")
    current.execute(webhook.format("sealed", "'x'"))
    assert current.migrate().endswith(
        " set MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY to what the old server had.\n"
    )


def test_one_host_after_another_brings_a_database_to_a_version(
    current: Mlflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    upgrade = schema.upgrade

    def looking(alias: str, *, adopt: bool = False) -> object:
        with psycopg.connect(current.url) as connection:
            asked = "SELECT pg_try_advisory_lock(%s)"
            held.append(connection.execute(asked, [schema._LOCK]).fetchone())
        return upgrade(alias, adopt=adopt)

    monkeypatch.setattr(schema, "upgrade", looking)
    current.migrate()
    assert held == [(False,)]
    with psycopg.connect(current.url) as connection:
        assert connection.execute("SELECT pg_try_advisory_lock(%s)", [schema._LOCK]).fetchone() == (
            True,
        )
