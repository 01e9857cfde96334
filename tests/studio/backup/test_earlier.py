"""The backup of an earlier version is restored as one of this."""

from __future__ import annotations

from pathlib import Path

import psycopg
from pytest_django.fixtures import Settings

from endpoints.models import State
from studio.backup import manifest
from studio.backup.take import take
from tests.studio.backup.kit import Lines, manage, tables
from tests.support.databases import database
from tests.support.dump import DATA


def test_the_backup_of_an_earlier_version_is_upgraded(
    store: Path, place: Path, said: Lines, settings: Settings, tmp_path: Path
) -> None:
    oldest = min(DATA.glob("schema-*.sql"))
    with database() as old, database() as new:
        with psycopg.connect(old) as connection:
            connection.execute(oldest.read_text().encode())
        settings.DATABASE_URL = old
        made = take(place, database_only=True, say=said)
        told = manifest.read(made)
        assert "accounts.0003_grants" not in told.versions.migrations
        more = {"DATABASE_URL": new, "STUDIO_HOME": str(tmp_path / "home")}
        manage("restore", str(made.root), more=more)
        with psycopg.connect(new) as connection:
            done = {name for (name,) in connection.execute("SELECT name FROM django_migrations")}
            states = {
                state for (state,) in connection.execute("SELECT state FROM endpoints_deployment")
            }
        assert done > {"0003_grants", "0005_mlflow_level", "0002_replicas_and_memory"}
        assert states <= {State.QUEUED, State.FAILED, State.STOPPED}
        before, after = tables(old), tables(new)
        assert before["runs"].split()[0] != "0"
        assert {name: after[name] for name in ("runs", "metrics", "users")} == {
            name: before[name] for name in ("runs", "metrics", "users")
        }
