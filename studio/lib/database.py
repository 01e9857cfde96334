"""DATABASE_URL in the three forms it is needed in: libpq's, Django's and SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

_DJANGO_NAMES = {
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}


def embedded_url(socket_folder: Path, user: str, password: str, name: str) -> str:
    return (
        f"postgresql://{user}:{quote(password, safe='')}@/{name}?host={quote(str(socket_folder))}"
    )


def django_database(url: str) -> dict[str, Any]:
    """A libpq address as an entry of DATABASES. Raises ImproperlyConfigured when libpq cannot read it."""
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError:
        raise ImproperlyConfigured(
            "DATABASE_URL is not an address that PostgreSQL's client understands"
        ) from None
    names = {_DJANGO_NAMES[key]: str(value) for key, value in given.items() if key in _DJANGO_NAMES}
    if "NAME" not in names:
        raise ImproperlyConfigured("DATABASE_URL names no database: end it with /NAME")
    options = {key: value for key, value in given.items() if key not in _DJANGO_NAMES}
    return {"ENGINE": "django.db.backends.postgresql", **names, "OPTIONS": options}


def sqlalchemy_url(database: Mapping[str, Any]) -> str:
    """A DATABASES entry as the address that MLflow's SQLAlchemy takes, driver psycopg 3."""
    query = {key: value for key, value in database["OPTIONS"].items() if isinstance(value, str)}
    query |= {
        low: database[up] for low, up in (("host", "HOST"), ("port", "PORT")) if database.get(up)
    }
    login = quote(str(database.get("USER", "")), safe="")
    if database.get("PASSWORD"):
        login += f":{quote(str(database['PASSWORD']), safe='')}"
    return (
        f"postgresql+psycopg://{login}@/{quote(str(database['NAME']), safe='')}?{urlencode(query)}"
    )
