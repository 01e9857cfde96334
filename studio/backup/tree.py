"""The artifacts of a store, in one order and without holding them all, and lists of them on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

Skip = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or one link to a place in the same store. `path` is relative to the store.

    `mtime` and `ctime` in nanoseconds are the file's own; `sha256` is known once it was copied.
    """

    path: str
    size: int = 0
    mtime: int = 0
    ctime: int = 0
    sha256: str = ""
    link: str = ""

    @property
    def key(self) -> list[str]:
        """By this entries are in order: folder by folder, names within each."""
        return self.path.split("/")

    def unchanged(self, other: Entry) -> bool:
        """Whether the file is the one that it was: a change of content always changes ctime."""
        mine = (self.path, self.size, self.mtime, self.ctime, self.link)
        return mine == (other.path, other.size, other.mtime, other.ctime, other.link)


def walk(root: Path, skip: Skip) -> Iterator[Entry]:
    """What lies below `root`. What is neither file nor link inside is skipped, with its path and the reason."""
    levels = [_children(root, "")]
    while levels:
        path = next(levels[-1], None)
        if path is None:
            levels.pop()
            continue
        place = root / path
        if place.is_symlink():
            link = _inside(root, place)
            if link is None:
                skip(path, "a link that leads out of the store, or nowhere")
            else:
                yield Entry(path, link=link)
        elif place.is_dir():
            levels.append(_children(root, path))
        elif place.is_file():
            yield from _file(place, path)
        elif place.exists():
            skip(path, "neither a file nor a folder")


class Sorted:
    """Entries in order, from which those of given paths, asked for in order, are taken; the others are told."""

    def __init__(self, entries: Iterator[Entry], passed: Callable[[Entry], None]) -> None:
        self.entries = entries
        self.passed = passed
        self.ahead = next(entries, None)

    def take(self, path: str) -> Entry | None:
        key = path.split("/")
        while self.ahead is not None and self.ahead.key < key:
            self.passed(self.ahead)
            self.ahead = next(self.entries, None)
        if self.ahead is None or self.ahead.path != path:
            return None
        found, self.ahead = self.ahead, next(self.entries, None)
        return found

    def rest(self) -> None:
        while self.ahead is not None:
            self.passed(self.ahead)
            self.ahead = next(self.entries, None)


def line_of(entry: Entry) -> str:
    """ASCII, so that names which are no text, too, come through."""
    return json.dumps({name: value for name, value in asdict(entry).items() if value}) + "\n"


def read(path: Path) -> Iterator[Entry]:
    """The entries of a list. Raises ValueError or TypeError where it is none."""
    with path.open() as lines:
        for line in lines:
            yield Entry(**json.loads(line))


def _children(root: Path, folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(root / folder))  # noqa: PTH208 - names, of which there may be very many
    except FileNotFoundError:  # deleted meanwhile
        return
    for name in names:
        yield f"{folder}/{name}" if folder else name


def _file(place: Path, path: str) -> Iterator[Entry]:
    try:
        now = place.lstat()
    except FileNotFoundError:
        return
    yield Entry(path, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def _inside(root: Path, place: Path) -> str | None:
    """Where a link leads, relative to its own folder. None: not to a file or folder of this store."""
    try:
        target = place.resolve()
        if not target.is_relative_to(root.resolve()) or not (target.is_file() or target.is_dir()):
            return None
        return os.path.relpath(target, place.parent.resolve())
    except (OSError, RuntimeError):  # links that lead in a circle
        return None
