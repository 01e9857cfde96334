"""Keys and digests do not reach PostgreSQL's log, whatever fails there."""

from __future__ import annotations

import re

import psycopg
import pytest
from django.db import connection

from studio.lib.database import embedded_url
from studio.lib.home import Home
from tests.support.live import Studio
from tests.support.processes import until

SECRET = "never-in-a-log-7f3a"  # noqa: S105 - what a test looks for
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def new_lines(live: Studio, start: int, mark: str) -> str:
    """What the log has told since `start`, once it holds the mark."""
    until(lambda: mark in live.log()[start:], f"{mark!r} in the log", 10)
    return live.log()[start:]


def test_a_name_that_is_taken_leaves_no_statement_in_the_log(live: Studio, token: str) -> None:
    start = len(live.log())
    with live.client(token) as api:
        answers = [api.post("/api/v1/endpoints", json={"name": "twice-named"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 409]
        assert "already an endpoint named 'twice-named'" in answers[1].json()["error"]["message"]
        assert api.delete("/api/v1/endpoints/twice-named").status_code == 202
    told = new_lines(live, start, "Conflict: /api/v1/endpoints")
    assert "INSERT" not in told
    assert "duplicate key" not in told  # nothing has failed at all
    assert not DIGEST.search(told)


@pytest.mark.parametrize(
    ("statement", "mark"),
    [
        ("SELECT 'never-in-a-log-7f3a' FROM no_such_table_here", "no_such_table_here"),
        # Its row would stand in the detail: "Failing row contains (…)".
        (
            "CREATE TEMP TABLE sealed (key text, part int CONSTRAINT one_part CHECK (part = 1)); "
            "INSERT INTO sealed VALUES ('never-in-a-log-7f3a', 2)",
            "one_part",
        ),
    ],
)
def test_a_statement_that_fails_is_told_without_its_values(
    live: Studio, statement: str, mark: str
) -> None:
    start = len(live.log())
    home = Home(live.home)
    url = embedded_url(home.postgres_socket, "studio", home.secret("postgres-password"), "studio")
    with psycopg.connect(url) as wire, pytest.raises(psycopg.Error):
        wire.execute(statement.encode())
    told = new_lines(live, start, mark)
    assert "ERROR" in told
    assert SECRET not in told


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value"), [("log_min_error_statement", "panic"), ("log_error_verbosity", "terse")]
)
def test_the_embedded_postgresql_is_told_so(setting: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        assert cursor.fetchone() == (value,)
