"""Where backups lie: dated folders below a place of the administrator's, each whole or not there.

A backup is written under another name and gets its own at the end, its manifest last. Whatever has no whole
manifest is half of one. One backup at a time is written to a place: who holds its lock may remove what
others, which were killed, have left there.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from studio.backup.failure import BackupFailed

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z(-\d+)?")
DRAFT = "unfinished-"


@dataclass(frozen=True, slots=True)
class Folder:
    """Names of what lies in one backup."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def files(self) -> Path:
        """The artifacts' list, one JSON object a line, in the order of their paths."""
        return self.root / "files.jsonl"

    @property
    def database(self) -> Path:
        """In pg_dump's own format."""
        return self.root / "database.dump"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"


def finished(place: Path) -> list[Folder]:
    """The backups below `place`, the newest last. Their manifests may yet be unreadable."""
    found = [path for path in place.iterdir() if _NAME.fullmatch(path.name)]
    return [Folder(path) for path in sorted(found) if Folder(path).manifest.is_file()]


def find(place: Path) -> Folder:
    """The backup that `place` is, or the newest one below it. Raises BackupFailed when there is none."""
    if not place.is_dir():
        raise BackupFailed(f"There is no folder {place}.")
    if Folder(place).manifest.is_file():
        return Folder(place)
    found = finished(place)
    if found:
        return found[-1]
    halves = [path.name for path in place.iterdir() if path.name.startswith(DRAFT)]
    if halves or Folder(place).database.exists() or Folder(place).artifacts.exists():
        raise BackupFailed(
            f"{place} holds half a backup: it has no manifest.json, which is written last. Take another one."
        )
    raise BackupFailed(f"There is no backup in {place}.")


@contextmanager
def draft(place: Path, began: datetime) -> Iterator[Folder]:
    """A new folder below `place`, that gets its name when the block ends and is removed when it raises."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(place):
        for left in place.glob(f"{DRAFT}*"):
            if _NAME.fullmatch(left.name.removeprefix(DRAFT)):
                shutil.rmtree(left)
        now = f"{began:%Y-%m-%dT%H%M%SZ}"
        _require_no_later(place, now)
        name = _free_name(place, now)
        folder = Folder(place / f"{DRAFT}{name}")
        try:
            folder.root.mkdir(mode=0o700)
            yield folder
            folder.root.rename(place / name)
            _flush(place)
        except BaseException:
            shutil.rmtree(folder.root, ignore_errors=True)
            raise


def keep(place: Path, number: int) -> list[Folder]:
    """Remove all but the newest `number` of the finished ones. Returns what has gone."""
    with _only_one(place):
        leaving = finished(place)[:-number]
        for folder in (
            leaving
        ):  # by a name that is no backup's, and goes with the next one if this is interrupted
            shutil.rmtree(folder.root.rename(place / f"{DRAFT}{folder.root.name}"))
        return leaving


def _require_no_later(place: Path, now: str) -> None:
    """Raises BackupFailed where another claims to be the newest: `keep` would remove the one that really is."""
    for later in finished(place)[-1:]:
        if later.root.name[: len(now)] > now:
            raise BackupFailed(
                f"The backup {later.root} is named for a time that is yet to come: it is {now}. Set this machine's "
                "clock right; if it is, that folder's was wrong: move it elsewhere. Then take the backup again."
            )


def _free_name(place: Path, name: str) -> str:
    number, free = 1, name
    while (place / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


@contextmanager
def _only_one(place: Path) -> Iterator[None]:
    with (place / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"Another backup is being written to {place}.") from None
        yield


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
