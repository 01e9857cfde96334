"""A file that a process holds open and adds to, kept from growing for ever: its end stays, its beginning is dropped.

The process writes on to the same file, so what the file has outgrown is copied beside it and the file is
emptied: whoever appends (O_APPEND) goes on at its new end. What is written between the last byte that was
copied and the emptying, some microseconds, is lost. Of a process that writes faster than is copied, more is.

Positions count all bytes that were ever written, so that a reader knows his place whatever was dropped. The
older file tells in its first line how many bytes came before it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# What the system says when there is no room, on the disk, in a quota or for the size of a file, or when the
# disk is broken or must not be written to any more.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

_FIRST_LINE = re.compile(rb"\((\d+) bytes of this log were dropped before this line\)\n")
_LONGEST_FIRST_LINE = 100  # bytes
_PIECE = 64 * 1024  # bytes that are looked through for the end of a line
_COPIED_AT_ONCE = 1 << 20  # bytes
_TRIES = 5  # to read while the file is emptied


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes from position `at` on. Those before `start` are dropped; `end` is where the next one will be."""

    at: int
    data: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Layout:
    start: int = 0  # position of the first byte that there still is
    base: int = 0  # position of the first byte in the file itself; those before are in `older`
    end: int = 0
    older: Path | None = None
    offset: int = 0  # where in `older` the byte of position `start` is


def read(path: Path, after: int, most: int) -> Found:
    """At most so many bytes from position `after`, or from the first there still is if it is not in the file."""
    for _ in range(_TRIES):
        layout = _layout(path)
        at = after if layout.start <= after <= layout.end else layout.start
        with contextlib.suppress(FileNotFoundError):
            data = _bytes(path, layout, at, most)
            again = _layout(path)
            if (
                again.base == layout.base and again.end >= layout.end
            ):  # else it was emptied meanwhile
                return Found(at, data, layout.start, layout.end)
    return Found(after, b"", after, after)


def tail(path: Path, most: int) -> bytes:
    """The last bytes, at most so many."""
    return read(path, max(0, _layout(path).end - most), most).data


def shorten(path: Path, longest: int) -> bool:
    """Once the file is longer than `longest` bytes, keep its last ones in an older file and empty it.

    On disk it is then at most twice as long, and what is added between two calls and during one, of which no
    more than once the length is kept. True: it was done. While the disk is full, or another process is at it,
    nothing is.
    """
    if _size(path) <= longest and not _draft(path).exists():
        return False
    try:
        with path.open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _shorten(path, file, longest)
    except BlockingIOError:
        return False
    except OSError as failure:
        if failure.errno not in UNWRITABLE:
            raise
        with contextlib.suppress(OSError):
            _draft(path).unlink(missing_ok=True)
        return False


def remove(path: Path) -> None:
    """The file and what stands beside it."""
    for beside in (path, _older(path), _draft(path)):
        beside.unlink(missing_ok=True)


def _shorten(path: Path, file: BinaryIO, longest: int) -> bool:
    layout = _layout(path)
    if layout.older == _draft(path):  # whoever emptied the file was killed before the last stroke
        layout.older.replace(_older(path))
    _draft(path).unlink(missing_ok=True)
    size = layout.end - layout.base
    if size <= longest:
        return False
    begin = max(0, size - longest)
    if begin:
        file.seek(begin - 1)  # where a line may end
        begin += max(0, file.read(_PIECE).find(b"\n"))
    file.seek(begin)
    with _draft(path).open("wb") as copy:
        copy.write(
            b"(%d bytes of this log were dropped before this line)\n" % (layout.base + begin)
        )
        # The second time, what came while the first was written. Not all of it: it may come without end.
        for most in (size - begin, longest):
            _copy(file, copy, most)
            copy.flush()
        os.ftruncate(file.fileno(), 0)
    _draft(path).replace(_older(path))
    return True


def _copy(source: BinaryIO, target: BinaryIO, most: int) -> None:
    while most > 0 and (piece := source.read(min(most, _COPIED_AT_ONCE))):
        target.write(piece)
        most -= len(piece)


def _layout(path: Path) -> _Layout:
    size = _size(path)
    for older in (_draft(path), _older(path)):
        told = _told(older)
        if told is None:
            continue
        start, offset, length = told
        # A draft holds no more than the file while it is written, and more once the file was emptied.
        if older == _draft(path) and length <= size:
            continue
        return _Layout(start, start + length, start + length + size, older, offset)
    return _Layout(end=size)


def _told(older: Path) -> tuple[int, int, int] | None:
    """The position of the first byte in an older file, where in the file that is, and how many there are."""
    try:
        with older.open("rb") as file:
            first = _FIRST_LINE.match(file.read(_LONGEST_FIRST_LINE))
            if first is None:
                return None
            return int(first[1]), first.end(), file.seek(0, os.SEEK_END) - first.end()
    except FileNotFoundError:
        return None


def _bytes(path: Path, layout: _Layout, at: int, most: int) -> bytes:
    found = b""
    if layout.older is not None and at < layout.base:
        with layout.older.open("rb") as file:
            file.seek(layout.offset + at - layout.start)
            found = file.read(most)
    if len(found) < most and layout.end > layout.base:
        with path.open("rb") as file:
            file.seek(max(0, at - layout.base))
            found += file.read(most - len(found))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.older")


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.draft")
