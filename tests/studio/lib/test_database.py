"""DATABASE_URL as libpq, Django and SQLAlchemy read it."""

from __future__ import annotations

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from studio.lib.database import (
    address,
    django_database,
    refuse_unusable,
    sqlalchemy_url,
    with_patience,
)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@h:5433/studio?sslmode=require",
        "postgresql://u:p?w&x@h/studio",
        "postgresql://u@h1:1,h2:2/studio?target_session_attrs=read-write",
        "postgresql:///studio?host=/run/postgresql",
        "postgresql://[2001:db8::1]/studio",
        "postgresql:///studio",
    ],
)
def test_a_database_that_falls_silent_is_given_up_however_the_address_is_written(url: str) -> None:
    given, patient = conninfo_to_dict(url), conninfo_to_dict(with_patience(url))
    assert given.items() <= patient.items()
    assert patient["connect_timeout"] == "5"
    assert int(str(patient["tcp_user_timeout"])) <= 60_000  # milliseconds
    assert with_patience(with_patience(url)) == with_patience(url)


def test_what_the_administrator_says_of_times_counts() -> None:
    told = conninfo_to_dict(with_patience("postgresql://h/d?connect_timeout=30&keepalives_idle=1"))
    assert (told["connect_timeout"], told["keepalives_idle"]) == ("30", "1")


def test_the_three_forms_name_the_same_place() -> None:
    url = "postgresql://a%40b:p%40ss%2F%25@db.example.com:5433/my%20studio?application_name=x"
    entry = django_database(url)
    assert entry["PASSWORD"] == "p@ss/%"
    alchemy = sqlalchemy_url(entry).replace("postgresql+psycopg://", "postgresql://")
    assert conninfo_to_dict(alchemy) == conninfo_to_dict(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:geheim@h:5433/d?sslmode=require", "postgresql://u@h:5433/d"),
        ("postgresql://u:geheim@[2001:db8::1]/d", "postgresql://u@[2001:db8::1]/d"),
        ("postgresql://u:geheim@/d?host=/run/pg", "postgresql://u@/d in /run/pg"),
        ("postgresql:///d", "postgresql://localhost/d"),
    ],
)
def test_people_are_told_the_address_without_the_password(url: str, told: str) -> None:
    assert address(url) == told


@pytest.mark.parametrize(
    "said",
    [
        'connection failed: connection to server at "h", port 1 failed: FATAL:  geheim is wrong',
        "",
        "something else altogether: geheim",
        "\n\n",
    ],
)
def test_whatever_the_client_says_one_line_without_the_password_is_told(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg, "connect", fail)
    with pytest.raises(ImproperlyConfigured) as refusal:
        refuse_unusable("postgresql://u:geheim@h/d")
    (line,) = str(refusal.value).splitlines()
    assert line.startswith("DATABASE_URL: postgresql://u@h/d: ")
    assert "geheim" not in line
