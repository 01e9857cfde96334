"""`manage.py release` takes away what is Studio's, all of it, and gives MLflow its passwords."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from mlflow.server.auth.sqlalchemy_store import check_password_hash
from pytest_django import Settings

from studio.accounts import services
from studio.accounts.adoption import adopt_users, hand_back_users
from studio.accounts.models import MlflowUser, User
from studio.launch import release
from studio.lib.home import Home
from tests.support.databases import database, make_permissions, make_tracking, shape, url_of
from tests.support.rows import make_experiment, make_run
from tests.support.serving import make_deployment

pytestmark = pytest.mark.django_db
PASSWORD = "of nobody's else"


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 2


@pytest.fixture(autouse=True)
def own_database(db: None, settings: Settings, tmp_path: Path) -> None:
    """The tests' database, as if it were somebody's own."""
    settings.POSTGRES_EMBEDDED = False
    settings.DATABASE_URL = url_of(str(connection.settings_dict["NAME"]))
    settings.HOME = Home(tmp_path)
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickHasher"]


@pytest.fixture(scope="module")
def mlflows_alone(stores: None) -> Iterator[set[str]]:
    """What there is in a database that MLflow has made by itself."""
    with database() as url:
        make_tracking(url)
        make_permissions(url)
        with psycopg.connect(url) as opened, opened.cursor() as cursor:
            yield shape(cursor)


@pytest.fixture
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tests' database: `transaction` tests on it may have left connections."""
    monkeypatch.setattr(release, "_OTHERS", "SELECT '', '', '' WHERE false")


def hash_of(name: str) -> str:
    return MlflowUser.objects.get(username=name).password_hash or ""


def run(*arguments: str) -> str:
    told = StringIO()
    call_command("release", *arguments, stdout=told)
    return told.getvalue()


@pytest.mark.usefixtures("nobody_else")
def test_what_is_left_is_what_mlflow_makes_by_itself(mlflows_alone: set[str], alice: User) -> None:
    make_deployment(alice)
    services.issue_token(user=alice, label="laptop", by=alice)
    make_run(make_experiment("kept"))
    with connection.cursor() as cursor:
        assert shape(cursor) - mlflows_alone
        told = run("--yes")
        assert shape(cursor) == mlflows_alone
        cursor.execute("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM users)")
        assert cursor.fetchone() == (1, 1)
    assert "1 endpoints, 1 deployments, 1 tokens, 1 grants on endpoints, " in told
    assert "It keeps what is MLflow's: " in told
    assert "1 runs" in told
    assert "Released" in told


@pytest.mark.usefixtures("nobody_else")
def test_what_studio_has_added_to_mlflows_own_tables_goes_too(mlflows_alone: set[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE INDEX studio_runs_by_name ON runs (name); "
            "CREATE FUNCTION studio_watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
            "CREATE TRIGGER studio_watching AFTER INSERT ON runs EXECUTE FUNCTION studio_watch()"
        )
        run("--yes")
        assert shape(cursor) == mlflows_alone


@pytest.mark.usefixtures("nobody_else")
def test_it_asks_for_the_databases_name(monkeypatch: pytest.MonkeyPatch, alice: User) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    with pytest.raises(CommandError, match="nothing was changed"):
        run()

    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(CommandError, match="say --yes"):
        run()
    assert User.objects.get() == alice
    name = connection.settings_dict["NAME"]
    monkeypatch.setattr("builtins.input", lambda _: f" {name}\n")
    assert "Released" in run()


@pytest.mark.usefixtures("nobody_else")
def test_what_hangs_on_it_stops_it_and_nothing_is_changed(alice: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW mine AS SELECT username FROM accounts_user")
    with pytest.raises(CommandError, match="Nothing was changed: .*view mine depends"):
        run("--yes")
    assert User.objects.get() == alice


def test_who_else_is_connected_is_named(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "_MOMENT", 0)
    with (
        psycopg.connect(settings.DATABASE_URL, application_name="old-server"),
        pytest.raises(CommandError, match="old-server of studio on this machine"),
    ):
        run("--yes")
    assert User.objects.get() == alice


def test_a_studio_that_runs_keeps_its_database(settings: Settings) -> None:
    with settings.HOME.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="Studio is running from"):
            run("--yes")


def test_the_embedded_database_is_not_anybodys_to_give_back(settings: Settings) -> None:
    settings.POSTGRES_EMBEDDED = True
    with pytest.raises(CommandError, match="DATABASE_URL is not set"):
        run("--yes")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM django_migrations WHERE app = 'endpoints'", "an older Studio"),
        ("DELETE FROM django_migrations", "names that Studio needs"),
    ],
)
def test_a_database_of_another_version_is_refused(statement: str, told: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    with pytest.raises(ImproperlyConfigured, match=told):
        release.require_ours()


def test_everybody_has_in_mlflow_the_password_that_studio_knows() -> None:
    User.objects.create_user("studios", password=PASSWORD)
    User.objects.create_user("waiting")
    User.objects.create_user("away", password=PASSWORD, is_active=False)
    for name in ("mlflows", "gone"):
        MlflowUser.objects.create(username=name, password_hash="scrypt:2:1:1$x$y")
    MlflowUser.objects.create(username="not allowed", password_hash="scrypt:2:1:1$x$y")
    adopt_users()
    User.objects.filter(username="gone").update(is_active=False)
    handed = hand_back_users()
    assert handed == (["waiting"], ["away", "gone"])
    assert check_password_hash(hash_of("studios"), PASSWORD)
    assert {name: hash_of(name) for name in ("waiting", "away", "gone")} == dict.fromkeys(
        ("waiting", "away", "gone"), "!"
    )
    assert hash_of("mlflows") == hash_of("not allowed") == "scrypt:2:1:1$x$y"
    assert "waiting. An administrator of MLflow" in handed.told()[0]
    assert "away, gone" in handed.told()[1]
