"""What tests of backups share: what was said, a digest of a folder, digests of the tables of a database."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from studio.backup.folder import Folder
from tests.support.live import ROOT

_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name
"""


class Lines:
    """Collects what a command says. `at` calls back as soon as something with these words is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.hooks: list[tuple[str, Callable[[], object]]] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        for words, hook in self.hooks:
            if words in line:
                hook()

    def at(self, words: str, hook: Callable[[], object]) -> None:
        self.hooks.append((words, hook))


def contents(root: Path) -> dict[str, str]:
    """Digests of all files below, by path; of links where they lead."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115 - as it is written
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def tables(url: str) -> dict[str, str]:
    """A digest of each table: of all rows, in an order that does not depend on where they lie."""
    found = {}
    with psycopg.connect(url) as connection:
        for (name,) in connection.execute(_TABLES).fetchall():
            query = sql.SQL(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM {} t"
            )
            row = connection.execute(query.format(sql.Identifier(name))).fetchone()
            assert row is not None
            found[str(name)] = str(row[0])
    return found


def change(folder: Folder, alter: Callable[[dict[str, Any]], object]) -> None:
    """Alter the manifest of a backup."""
    told = json.loads(folder.manifest.read_text())
    alter(told)
    folder.manifest.write_text(json.dumps(told))


def command(*arguments: str, more: dict[str, str]) -> subprocess.Popen[str]:
    """A management command as a process, with this environment besides the tests' own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | more,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def manage(*arguments: str, more: dict[str, str]) -> str:
    """Run a management command to its end. Returns what it printed."""
    process = command(*arguments, more=more)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told
