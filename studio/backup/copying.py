"""Copies of single files, with their digest. Memory stays flat."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from studio.backup.tree import Entry

PIECE = 1024 * 1024
_TRIES = 5
Moved = Callable[[int], None]


class Unsteady(Exception):
    """The file changed each time that it was copied. The last copy is there, of more than one moment."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.path)
        self.entry = entry


@contextmanager
def private_files() -> Iterator[None]:
    """What is made in the block can be read by nobody else."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def copy(source: Path, target: Path, path: str, moved: Moved) -> Entry | None:
    """Copy a file, again if it changed meanwhile. None: it is no file any more. Raises Unsteady."""
    for _ in range(_TRIES):
        try:
            before = source.lstat()
            # A pipe in its place would be waited for.
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            if os.path.lexists(source) and not source.is_symlink():
                raise
            break
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                break
            sha256, size = _pour(file.readinto, target, moved)
        os.utime(target, ns=(before.st_mtime_ns, before.st_mtime_ns))
        entry = Entry(path, size, before.st_mtime_ns, before.st_ctime_ns, sha256)
        if not os.path.lexists(source):
            break
        after = source.lstat()
        if entry.unchanged(Entry(path, after.st_size, after.st_mtime_ns, after.st_ctime_ns)):
            return entry
    else:
        raise Unsteady(
            replace(entry, ctime=0)
        )  # which no file has: the next backup copies it again
    target.unlink(missing_ok=True)
    return None


def link(source: Path, target: Path, size: int) -> bool:
    """Have `target` be the same file. False: it cannot be, or is not of that size."""
    try:
        if source.lstat().st_size != size:
            return False
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another filesystem, or one without links
        return False
    return True


def digest(path: Path, moved: Moved) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    summary, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(PIECE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            summary.update(buffer[:count])
            size += count
            moved(count)
    return summary.hexdigest(), size


def _pour(
    readinto: Callable[[memoryview], int | None], target: Path, moved: Moved
) -> tuple[str, int]:
    summary, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(PIECE))
    with target.open("wb") as copied:
        while count := readinto(buffer):
            summary.update(buffer[:count])
            copied.write(buffer[:count])
            size += count
            moved(count)
    return summary.hexdigest(), size
