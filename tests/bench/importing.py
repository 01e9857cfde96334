"""How long it takes to move in: 10,000 runs with 1,000,000 points, out of a file store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.bench.timing import Result
from tests.support.filestore import write_store
from tests.support.live import ROOT, Studio

RUNS, POINTS = 10_000, 1_000_000
MARK = 1  # times the speed of MLflow's own way out of a file store


def measure(studio: Studio) -> list[Result]:
    """Beside `mlflow migrate-filestore`, into an SQLite file without waiting for the disk and without artifacts."""
    folder = Path(tempfile.mkdtemp(prefix="studio-bench-"))
    try:
        store = write_store(folder, runs=RUNS, points=POINTS // RUNS)
        ours, memory = _timed(studio, [sys.executable, "manage.py", "import", str(store)])
        again, _ = _timed(studio, [sys.executable, "manage.py", "import", str(store)])
        theirs, their_memory = _timed(studio, _peer(folder))
    finally:
        shutil.rmtree(folder)
    return [
        Result(
            f"import of {RUNS:,} runs with {POINTS:,} points, a file each",
            {
                "Studio": f"{ours:.1f} s, {POINTS / ours:,.0f} points/s, at most {memory:.0f} MB",
                "again, nothing new": f"{again:.1f} s",
                "mlflow migrate-filestore": f"{theirs:.1f} s, at most {their_memory:.0f} MB",
            },
            theirs / ours,
            "times",
            "at least",
            MARK,
        )
    ]


def _peer(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "migrate-filestore", "--no-progress"]
    return [*command, "--source", str(folder), "--target", f"sqlite:///{folder}/peer.db"]


def _timed(studio: Studio, command: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and the most memory that it held, in MB."""
    began = perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=studio.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said[-2000:]}")
    return perf_counter() - began, used.ru_maxrss / 1024
