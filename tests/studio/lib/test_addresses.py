"""DATABASE_URL and REDIS_URL in each form that they are needed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu.utils.url import url_to_parts
from redis.connection import parse_url as parse_redis
from sqlalchemy.engine import make_url

from studio.lib import database, redis


def connection_arguments(url: str) -> dict[str, Any]:
    """What SQLAlchemy hands to psycopg for this address."""
    parsed = make_url(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return {key: str(value) for key, value in arguments.items() if key != "context"}


@pytest.mark.parametrize(
    ("url", "means"),
    [
        (
            "postgresql://user:pass@db.example.com:5433/studio",
            {"host": "db.example.com", "port": "5433", "user": "user", "password": "pass", "dbname": "studio"},
        ),
        (
            "postgres://us%40er:p%40ss%2Fw%3Ao%25rd%20%C3%A9@db/na%20me",
            {"host": "db", "user": "us@er", "password": "p@ss/w:o%rd é", "dbname": "na me"},
        ),
        (
            "postgresql://user@/studio?host=/var/run/postgresql&application_name=a%26b",
            {"host": "/var/run/postgresql", "user": "user", "dbname": "studio", "application_name": "a&b"},
        ),
        (
            "postgresql://user@[::1]:5432/studio?sslmode=require&connect_timeout=3",
            {"host": "::1", "port": "5432", "user": "user", "dbname": "studio", "sslmode": "require", "connect_timeout": "3"},
        ),
        (
            "postgresql://user@db/studio?options=-csearch_path%3Dmlflow",
            {"host": "db", "user": "user", "dbname": "studio", "options": "-csearch_path=mlflow"},
        ),
    ],
)  # fmt: skip
def test_an_address_means_the_same_in_each_form(url: str, means: dict[str, str]) -> None:
    django = database.django_database(url)
    names = {
        "HOST": "host",
        "PORT": "port",
        "USER": "user",
        "PASSWORD": "password",
        "NAME": "dbname",
    }
    told = {names[key]: value for key, value in django.items() if key in names}
    assert told | django["OPTIONS"] == means
    assert connection_arguments(database.sqlalchemy_url(django)) == means


def test_the_pool_of_django_is_not_told_to_sqlalchemy() -> None:
    django = database.django_database("postgresql://user@db/studio")
    django["OPTIONS"]["pool"] = {"min_size": 1}
    assert "pool" not in database.sqlalchemy_url(django)


def test_the_embedded_database_is_reached_by_its_socket() -> None:
    url = database.embedded_url(Path("/srv/a b/run"), "studio", "p@/:%", "studio")
    django = database.django_database(url)
    assert (django["HOST"], django["PASSWORD"]) == ("/srv/a b/run", "p@/:%")
    assert connection_arguments(database.sqlalchemy_url(django))["host"] == "/srv/a b/run"


@pytest.mark.parametrize(
    "url", ["postgresql://user@db", "postgresql://u@db/n?nope=1", "postgresql://[x"]
)
def test_an_address_that_libpq_cannot_read_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        database.django_database(url)


@pytest.mark.parametrize("socket", ["/srv/run/redis.sock", "/srv/my studio/50%#?é/redis.sock"])
def test_the_embedded_redis_is_reached_by_its_socket_in_each_form(socket: str) -> None:
    url = redis.embedded_url(Path(socket), "p@/:%")
    told = told_to_redis(url)
    assert (told["path"], told["password"], told["db"]) == (socket, "p@/:%", 0)
    assert told_to_kombu(redis.celery_url(url)) == (socket, None, "p@/:%", {"virtual_host": "0"})


def test_a_redis_of_ones_own_behind_a_socket_is_the_same_for_celery() -> None:
    url = "unix://ann:p%40ss@/run/redis.sock?db=3"
    assert told_to_redis(url)["db"] == 3
    assert told_to_kombu(redis.celery_url(url)) == (
        "/run/redis.sock", "ann", "p@ss", {"virtual_host": "3"}
    )  # fmt: skip


def told_to_redis(url: str) -> dict[str, Any]:
    return dict(parse_redis(url))  # type: ignore[no-untyped-call]


def told_to_kombu(url: str) -> tuple[str, str | None, str | None, dict[str, str]]:
    """Path, user, password and options, as Celery's transport reads them behind `redis+`."""
    parts = url_to_parts(url.removeprefix("redis+"))
    assert parts.scheme == "socket"
    return f"/{parts.path}", parts.username, parts.password, dict(parts.query)


@pytest.mark.parametrize("url", ["redis://:pw@host:6380/2", "rediss://host/0?ssl_cert_reqs=none"])
def test_a_redis_elsewhere_is_called_the_same_by_celery(url: str) -> None:
    assert redis.celery_url(url) == url
