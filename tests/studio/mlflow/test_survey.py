"""What a database holds is known before anything is written, and refused where it is not for Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from studio.lib.database import django_database
from studio.mlflow.survey import Kind, backup_command, survey_of
from tests.support.databases import database, make_permissions, make_tracking

Look = Callable[..., Kind]
# Of 2026 both: MLflow had workspaces, and wrote permissions in tables that it has left since.
OLDER_TRACKING, OLDER_PERMISSIONS = "1b5f0d9ad7c1", "2ed73881770d"
MIGRATIONS = "CREATE TABLE django_migrations (app text, name text); INSERT INTO django_migrations"
OTHERS = "CREATE TABLE customers (id int); CREATE TABLE orders (id int)"


def looking(url: str) -> Iterator[Look]:
    """Look at the database as it would be after these statements, of which nothing stays."""

    def look(*statements: str) -> Kind:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            try:
                for statement in statements:
                    cursor.execute(statement.encode())
                return survey_of(cursor, django_database(url))
            finally:
                connection.rollback()

    yield look


@pytest.fixture(scope="module")
def empty(stores: None) -> Iterator[Look]:
    with database() as url:
        yield from looking(url)


@pytest.fixture(scope="module")
def current(stores: None) -> Iterator[Look]:
    """As a stock `mlflow server --app-name basic-auth` leaves it."""
    with database() as url:
        make_tracking(url)
        make_permissions(url)
        yield from looking(url)


@pytest.fixture(scope="module")
def older(stores: None) -> Iterator[Look]:
    with database() as url:
        make_tracking(url, OLDER_TRACKING)
        make_permissions(url, OLDER_PERMISSIONS)
        yield from looking(url)


def test_an_empty_database_is_empty(empty: Look) -> None:
    assert empty() is Kind.EMPTY


def test_a_first_start_that_was_interrupted_goes_on(empty: Look) -> None:
    first = [
        f"CREATE TABLE {name} (id int)"
        for name in ("experiments", "runs", "metrics", "params", "tags")
    ]
    assert empty(*first) is Kind.EMPTY
    with pytest.raises(ImproperlyConfigured, match="half made"):
        empty(*first, "INSERT INTO runs VALUES (1)")


def test_mlflows_tables_of_the_installed_version_are_current(current: Look) -> None:
    assert current() is Kind.CURRENT


@pytest.mark.parametrize(
    "without",
    [
        "DROP TABLE role_permissions, user_role_assignments, roles, users, alembic_version_auth CASCADE",
        f"{OTHERS}",
    ],
    ids=["without users", "beside tables of others"],
)
def test_what_studio_can_live_with_is_current(current: Look, without: str) -> None:
    legacy = (
        "DROP TABLE experiment_permissions, registered_model_permissions, scorer_permissions, "
        "gateway_secret_permissions, gateway_endpoint_permissions, gateway_model_definition_permissions, "
        "workspace_permissions"
    )
    assert current(*([legacy] if "users" in without else []), without) is Kind.CURRENT


def test_mlflows_tables_of_an_earlier_version_are_older(older: Look) -> None:
    assert older() is Kind.OLDER


def test_earlier_permissions_alone_are_older(current: Look) -> None:
    back = f"UPDATE alembic_version_auth SET version_num = '{OLDER_PERMISSIONS}'"  # noqa: S608
    assert current(back) is Kind.OLDER
    assert current("DROP TABLE alembic_version_auth") is Kind.OLDER  # as before MLflow 3.6


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE alembic_version SET version_num = 'fedcba987654'", "a newer MLflow .* 3.17"),
        ("UPDATE alembic_version_auth SET version_num = 'fedcba987654'", "a newer MLflow"),
        ("DELETE FROM alembic_version", "half made"),
        ("INSERT INTO alembic_version VALUES ('another')", "half made"),
        ("DROP TABLE alembic_version", "half made"),
        ("DELETE FROM alembic_version_auth", "users half made"),
        ("DROP TABLE latest_metrics", "the table latest_metrics is missing"),
        ("ALTER TABLE runs DROP COLUMN deleted_time", "the column deleted_time of runs is missing"),
        ("DROP TABLE metrics, params", "not MLflow's"),
        ("ALTER TABLE users RENAME password_hash TO secret", "no column password_hash"),
        ("ALTER TABLE users RENAME username TO email", "no column username"),
        ("CREATE TABLE accounts_user (id int)", r"names that Studio needs \(accounts_user\)"),
        (
            f"{MIGRATIONS} VALUES ('shop', '0001_initial')",
            r"another Django project, or by a newer Studio \(applications shop\)",
        ),
        (
            f"{MIGRATIONS} VALUES ('accounts', '0099_later')",
            r"a newer Studio .*accounts\.0099_later",
        ),
        (
            "INSERT INTO experiments (name, workspace) VALUES ('x', 'team-a')",
            r"other than default \(team-a\)",
        ),
        (
            "INSERT INTO registered_models (name, workspace) VALUES ('x', 'team-b')",
            r"other than default \(team-b\)",
        ),
    ],
)
def test_what_studio_must_leave_alone_is_refused_in_one_line(
    current: Look, statement: str, told: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=told) as refused:
        current(statement)
    assert "\n" not in str(refused.value)
    assert "scratch_" in str(refused.value)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (OTHERS, r"not MLflow's \(customers, orders\)"),
        ("CREATE TABLE users (id int, email text)", "not MLflow's"),
        ("CREATE TABLE alembic_version (version_num text)", "not MLflow's"),
        (
            "CREATE TABLE alembic_version_auth (version_num text)",
            "users and no experiments: .*--backend-store-uri",
        ),
        ("SET search_path = nowhere", "does not let the user studio make tables"),
        ("CREATE SCHEMA closed; SET search_path = closed; REVOKE CREATE ON SCHEMA closed FROM studio",
         "GRANT CREATE, USAGE ON SCHEMA closed TO studio"),
    ],
)  # fmt: skip
def test_what_is_not_mlflows_is_refused(empty: Look, statement: str, told: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=told):
        empty(*statement.split("; "))


def test_a_users_table_of_something_else_beside_mlflows_is_refused(older: Look) -> None:
    gone = "DROP TABLE users CASCADE; DROP TABLE alembic_version_auth"
    theirs = "CREATE TABLE users (id int, email text)"
    with pytest.raises(ImproperlyConfigured, match="names that MLflow needs"):
        older(*gone.split("; "), theirs)


def test_studios_own_are_studios_whatever_version_mlflows_are_of(older: Look) -> None:
    begun = [f"{MIGRATIONS} VALUES ('contenttypes', '0001_initial'), ('accounts', '0001_initial')"]
    assert older(*begun) is Kind.STUDIOS
    with pytest.raises(ImproperlyConfigured, match="a newer MLflow"):
        older(*begun, "UPDATE alembic_version SET version_num = 'fedcba987654'")


def test_the_backup_command_names_the_database_and_no_password() -> None:
    given = django_database("postgresql://me:secret-word@db.example.com:5433/team%20runs")
    told = "pg_dump --host db.example.com --port 5433 --username me --format=custom"
    assert backup_command(given) == f"{told} '--file=team runs.dump' 'team runs'"
