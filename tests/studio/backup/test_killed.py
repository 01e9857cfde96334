"""Backups and restores that are asked to end, or killed, half way."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pytest_django.fixtures import Settings

from studio.backup import folder, manifest
from studio.backup.failure import BackupFailed
from studio.backup.take import take
from studio.lib.database import embedded_url
from studio.lib.home import Home
from tests.studio.backup.conftest import Take
from tests.studio.backup.kit import Lines, command, contents, manage
from tests.support.processes import until


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name != ".lock")


@contextmanager
def half_way(place: Path, store: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """A backup as a process that waits for a table, its folder made."""
    more = {"DATABASE_URL": url, "STUDIO_ARTIFACTS": str(store)}
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE experiments IN ACCESS EXCLUSIVE MODE")
        process = command("backup", str(place), more=more)
        try:
            until(lambda: list(place.glob("unfinished-*")), "the backup has begun")
            yield process
        finally:
            process.kill()
            process.communicate()


def test_one_that_is_asked_to_end_leaves_nothing(
    store: Path, place: Path, database_url: str
) -> None:
    with half_way(place, store, database_url) as process:
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Ended before it was done." in told
    assert left(place) == []


def test_one_that_is_killed_is_no_backup_and_goes_with_the_next(
    back_up: Take, store: Path, place: Path, database_url: str
) -> None:
    with half_way(place, store, database_url) as process:
        process.kill()
        process.wait()
    assert [name.split("-")[0] for name in left(place)] == ["unfinished"]
    with pytest.raises(BackupFailed, match="holds half a backup"):
        folder.find(place)
    made = back_up()
    assert left(place) == [made.root.name]


@pytest.mark.parametrize("done", ["artifacts restored", "the database is restored"])
def test_a_restore_that_is_killed_is_refused_by_up_and_gone_on_with(
    back_up: Take, store: Path, said: Lines, settings: Settings, tmp_path: Path, done: str
) -> None:
    made, home = back_up(), Home(tmp_path / "home")
    more = {"STUDIO_HOME": str(home.root)}
    with command("restore", str(made.root), more=more) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if done in line:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    with command("up", more=more) as up:
        told, _ = up.communicate(timeout=60)
    assert up.returncode == 1
    assert (
        f"A restore into {home.root} was not finished. If none is running, run `manage.py" in told
    )
    manage("restore", str(made.root), more=more)
    assert contents(home.artifacts) == contents(store)
    assert not home.unfinished_restore.exists()
    assert not home.processes.exists()
    # Its database is whole: Studio, which does not run, can be backed up as it is.
    settings.DATABASE_URL, settings.ARTIFACTS = of_home(home, settings), home.artifacts
    again = take(tmp_path / "again", database_only=False, say=said)
    assert "Studio is not running: its database is started for the time of this" in said.lines
    assert contents(again.artifacts) == contents(store)
    assert manifest.read(again).versions == manifest.read(made).versions
    assert not home.processes.exists()


def of_home(home: Home, settings: Settings) -> str:
    """The address of its embedded database, which is the one to use from now on."""
    settings.HOME, settings.POSTGRES_EMBEDDED = home, True
    password = home.secret("postgres-password")
    return embedded_url(home.postgres_socket, "studio", password, "studio")
