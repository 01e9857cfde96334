"""Disks that are small, or full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(place: Path, size: str) -> Iterator[None]:
    """A disk of that size lies over a folder while the block runs. For who `may_mount`."""
    assert mount(place, size)
    try:
        yield
    finally:
        unmount(place)


def mount(place: Path, size: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def may_mount(place: Path) -> bool:
    if os.geteuid() != 0 or not mount(place, "4k"):
        return False
    unmount(place)
    return True


def fill(place: Path) -> Path:
    """Write until nothing more fits. Returns the file to delete."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass
    return filler
