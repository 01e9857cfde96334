"""Waiting for conditions, and real processes to test with."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

_Found = TypeVar("_Found")


def until(look: Callable[[], _Found | None], what: str, seconds: float = 30) -> _Found:
    """Return the first truthy result of `look`, asked ten times a second. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last seen {found!r}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def open_below(folder: Path, *processes: psutil.Process) -> dict[str, int]:
    """The files in there that these processes and their children have open, with their sizes. Those without a name, too."""
    found = {}
    for each in processes:
        for process in (each, *each.children(recursive=True)):
            for entry in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):  # closed since
                    name = str(entry.readlink())
                    if name.startswith(f"{folder}/"):
                        found[name] = entry.stat().st_size
    return found


def runs(process: psutil.Process) -> bool:
    """Whether it is still there, and not only as a zombie that nobody has asked for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
