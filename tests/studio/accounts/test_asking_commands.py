"""Commands that ask a Studio that is not there say so at once, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMANDS = [["token", "--user", "admin", "--name", "laptop"], ["password-link", "admin"]]


def manage(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=given | changed,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_where_there_is_no_home_none_is_made(tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "none"
    done = manage(*command, STUDIO_HOME=str(home))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"STUDIO_HOME={home}" in line
    assert "`make up`" in line
    assert not home.exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_where_studio_is_stopped_it_is_told_in_a_line(tmp_path: Path, command: list[str]) -> None:
    started = time.monotonic()
    done = manage(*command, STUDIO_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CommandError: Studio is not running at ")
    assert f"STUDIO_HOME={tmp_path}" in line
    assert "`make up`" in line
    assert time.monotonic() - started < 9  # the pool alone would wait for ten seconds


def test_a_database_of_ones_own_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:hidden-word@127.0.0.1:1/studio"
    done = manage(*COMMANDS[0], STUDIO_HOME=str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 1
    assert (
        "CommandError: DATABASE_URL: postgresql://me@127.0.0.1:1/studio: Connection refused"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert "hidden-word" not in done.stderr


def test_help_needs_no_studio(tmp_path: Path) -> None:
    done = manage("token", "--help", STUDIO_HOME=str(tmp_path / "none"))
    assert done.returncode == 0
    assert "--user" in done.stdout
