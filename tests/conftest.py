"""The cast and the stage: real PostgreSQL and Redis, an administrator, a stranger, MLflow's rows."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from pytest_django.plugin import DjangoDbBlocker

from studio.accounts.models import MlflowUser, User
from studio.launch.postgres import EmbeddedPostgres
from studio.launch.redis import EmbeddedRedis
from tests.support import live as live_support
from tests.support import rows
from tests.support.counting import totals
from tests.support.processes import until

# Folders of tests with a set-up of their own.
COSTLY = ("artifacts_s3", "gateway", "hosts", "importing", "kill", "runtime")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say what belongs on one worker of `-n`: what shares the running Studio, else a folder's or a file's tests.

    When all are collected it is too late: xdist reads it then, before a conftest is asked.
    """
    group = str(item.path)
    if "live" in getattr(item, "fixturenames", ()):
        group = "live"
    elif item.path.parent.name in COSTLY:
        group = item.path.parent.name
    item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what tests have counted, beneath what they have found."""
    for name, number in totals(terminalreporter.stats).items():
        terminalreporter.line(f"{number:,} {name}")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL, Redis and replicas are here; nothing else is."""
    connect = socket.socket.connect

    def checked(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture(scope="session", autouse=True)
def static_files() -> Iterator[None]:
    """Static files by their plain names: only the running Studio has collected them."""
    settings.HOME.static.mkdir(parents=True, exist_ok=True)
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES=settings.STORAGES | {"staticfiles": plain}):
        yield


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """A password's real hash costs 0.4 s, and most tests make a user or two."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session")
def stores() -> Iterator[None]:
    """The embedded PostgreSQL and Redis, as `up` starts them."""
    postgres, redis = EmbeddedPostgres(settings.HOME), EmbeddedRedis(settings.HOME)
    postgres.initialise()
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (postgres.command(), redis.command())
    ]
    try:
        until(postgres.ready, "PostgreSQL")
        until(redis.ready, "Redis")
        postgres.make_database()
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


@pytest.fixture(scope="session")
def django_db_setup(stores: None, django_db_setup: None) -> None:
    """The test database lives in the embedded PostgreSQL."""


@pytest.fixture(autouse=True)
def no_users_left(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """After a test with transactions of its own Django empties its tables, and leaves MLflow's."""
    yield
    marker = request.node.get_closest_marker("django_db")
    own = marker is not None and marker.kwargs.get("transaction")
    if own or "transactional_db" in request.fixturenames:
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {MlflowUser._meta.db_table} CASCADE")


@pytest.fixture(scope="session")
def live() -> Iterator[live_support.Studio]:
    """A whole running Studio, one for the session."""
    with live_support.studio() as studio:
        yield studio


@pytest.fixture(scope="session")
def token(live: live_support.Studio) -> str:
    """An administrator's token of the running Studio."""
    return live.token()


@pytest.fixture
def alice(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("alice", password="a long enough password")


@pytest.fixture
def bob(db: None) -> User:
    """A stranger: sees none of it."""
    return User.objects.create_user("bob", password="another long password")


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def as_bob(bob: User) -> Client:
    client = Client()
    client.force_login(bob)
    return client


@pytest.fixture
def make_experiment(db: None) -> Callable[..., Any]:
    return rows.make_experiment


@pytest.fixture
def make_run(db: None) -> Callable[..., Any]:
    return rows.make_run
