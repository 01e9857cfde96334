"""How long a second start takes, and what an idle Studio holds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil

from tests.bench.timing import Result
from tests.support.live import Studio, studio

_SETTLED = 20.0  # seconds after the start: what was imported for the first requests stays


def measure(running: Studio) -> list[Result]:
    return [_memory(running), _second_start()]


def _memory(running: Studio) -> Result:
    """PSS: what processes share counts once. Of all that `up` has started, and of itself."""
    time.sleep(_SETTLED)
    leader = psutil.Process(running.process.pid)
    sides = {"up": _pss([leader])}
    for child in leader.children():
        name = _name(child)
        sides[name] = _pss([child, *child.children(recursive=True)])
    return Result(
        "an idle Studio, embedded stores and two web workers, PSS",
        {name: f"{size:.0f} MB" for name, size in sides.items()},
        sum(sides.values()),
        "MB",
        "at most",
        1600,
    )


def _name(process: psutil.Process) -> str:
    """The program of a command line: a module, or the binary's name."""
    words = process.cmdline()
    if "-m" in words:
        at = words.index("-m") + 1
        return " ".join([words[at], *(word for word in words[at:] if word in ("worker", "beat"))])
    return Path(words[0]).name


def _pss(processes: list[psutil.Process]) -> float:
    return sum(float(process.memory_full_info().pss) for process in processes) / 1e6


def _second_start() -> Result:
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        home = Path(folder) / "home"
        first = _seconds_to_ready(home)
        seconds = [_seconds_to_ready(home) for _ in range(3)]
    return Result(
        "`up` to ready, the second time",
        {
            "the first time": f"{first:.1f} s",
            "then": " ".join(f"{taken:.1f} s" for taken in seconds),
        },
        sorted(seconds)[1],
        "s",
        "at most",
        10,
    )


def _seconds_to_ready(home: Path) -> float:
    began = time.perf_counter()
    with studio(home):
        return time.perf_counter() - began
