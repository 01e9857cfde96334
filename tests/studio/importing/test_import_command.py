"""What the command says: how far it is, what came, and what to do when it cannot go on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from studio.importing import alone, transfer
from studio.importing.progress import Progress
from studio.importing.report import Report
from studio.importing.shelf import Shelf
from studio.importing.units import File
from studio.importing.words import summary
from tests.studio.importing.conftest import Import
from tests.studio.importing.rows import all_files
from tests.support.filestore import write_store
from tracking.models import Metric, Run

ROOT = Path(__file__).resolve().parents[3]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_what_is_left() -> None:
    to = Terminal()
    progress = Progress(to, expected=200)
    progress.begin("runs")
    progress._began -= 10  # ten seconds ago
    progress._told -= 10
    progress.add(runs=50, points=1234, files=7)
    assert "[######                  ]  25% runs: 50 runs, 1,234 points, 7 files" in to.getvalue()
    assert "5 runs/s, about 30 s left" in to.getvalue()
    assert "\n" not in to.getvalue()
    progress.end()
    assert to.getvalue().endswith("\r\033[K")


def test_a_log_gets_a_line_every_ten_seconds_and_no_more() -> None:
    to = StringIO()
    progress = Progress(to, expected=None)
    progress.begin("runs")
    progress.add(runs=1)
    assert to.getvalue() == ""
    progress._told -= 11
    progress.add(runs=1)
    progress.add(runs=1)
    assert to.getvalue().count("\n") == 1
    assert to.getvalue().startswith("runs: 2 runs, 0 points, 0 files")


def test_the_summary_has_names_of_the_source_as_plain_text(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.jsonl")
    for number in range(5):
        report.left("run", f"\033[31mrun {number}\n", "it is broken")
    report.note("experiment", "7", "it became 9")
    report.came["runs"] = 12_345
    report.close()
    lines = list(summary(report, 2.0, dry=False))
    assert lines[0] == "Imported, in 2.0 s:"
    assert lines[1].split() == ["runs", "12,345"]
    assert "  experiment 7: it became 9" in lines
    assert "  5 × run: it is broken (?[31mrun 0?, ?[31mrun 1?, ?[31mrun 2?, …)" in lines
    assert any("grants of the source are not imported" in line for line in lines)


def test_another_import_into_the_same_studio_is_told_to_wait(
    importing: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "_PATIENCE", 0)
    store = write_store(tmp_path, runs=2, points=2)
    given = connection.get_connection_params()
    given = {name: given[name] for name in ("dbname", "user", "password", "host") if name in given}
    with psycopg.connect(**given, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [alone._LOCK])
        done = importing(store)
        assert done.code == 1
        assert "Another import into this Studio is running" in done.words
    monkeypatch.undo()  # the server may need a moment to let go
    assert importing(store).code == 0


def test_a_studio_that_does_not_run_is_told_how_to_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "import", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"STUDIO_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Studio is not running at STUDIO_HOME=" in done.stderr
    assert "Traceback" not in done.stderr


def test_after_a_full_disk_the_next_import_goes_on(
    importing: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path, runs=6, points=4)
    monkeypatch.setattr(transfer, "_BATCH", 2)
    put, copied = Shelf.put, 0

    def full(shelf: Shelf, folder: str, file: File) -> bool:
        nonlocal copied
        copied += 1
        if copied == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(shelf, folder, file)

    monkeypatch.setattr(Shelf, "put", full)
    stopped = importing(store)
    assert stopped.code == 1
    assert "No space left on device" in stopped.words
    assert "start the same command again" in stopped.words
    assert (Run.objects.count(), Metric.objects.count()) == (2, 8)
    assert not (Path(settings.ARTIFACTS) / ".importing").exists()
    done = importing(store)
    assert done.code == 0
    assert done.lines[-1]["came"]["files"] == 3
    assert done.lines[-1]["already here"] == {"experiment": 1, "run": 2, "file": 1}
    assert (Run.objects.count(), Metric.objects.count()) == (6, 24)
    assert len(all_files()) == 6
