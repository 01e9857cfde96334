"""Artifacts on their way into STUDIO_ARTIFACTS: written beside, put in place when whole, never copied twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from studio.importing.local import opened
from studio.importing.units import File, Refused
from studio.lib import artifacts
from studio.lib.artifacts import LocalFolder
from studio.lib.errors import NotFound
from studio.lib.folders import below
from studio.lib.s3 import is_plain

_STAGE = ".importing"
_LONGEST = 255  # bytes of a name, on every common file system
_LONGEST_PATH = 3000  # Linux takes 4095, with that of the store


class Shelf:
    """STUDIO_ARTIFACTS, with a folder for each run and model. One import at a time uses it."""

    def __init__(self, work: Path) -> None:
        self._root = artifacts.root()
        self._local = isinstance(self._root, LocalFolder)
        # On the same file system as what it becomes.
        self._stage = (self._root.path if isinstance(self._root, LocalFolder) else work) / _STAGE
        self._changed = False

    def open(self) -> None:
        artifacts.make()
        self._root.check()
        shutil.rmtree(self._stage, ignore_errors=True)  # of one that was killed
        self._stage.mkdir(mode=0o700)

    def close(self) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)

    def put(self, folder: str, file: File) -> bool:
        """Copy a file into a folder. False: the same lies there already. Raises Refused."""
        path = self.check(folder, file)
        try:
            if self._is_there(path, file):
                return False
            draft = self._stage / "file"
            with file.open() as pieces, draft.open("wb") as to:
                for piece in pieces:
                    to.write(piece)
            self._move(draft, path)
        except NotFound as failure:
            raise Refused(f"it cannot be put in its place: {failure.message}") from None
        self._changed = True
        return True

    def settle(self) -> None:
        """Have all that was copied on the disk, before a row says that it is there."""
        if self._changed and self._local:
            os.sync()
        self._changed = False

    def check(self, folder: str, file: File) -> str:
        """The path of a file below STUDIO_ARTIFACTS. Raises Refused for a name that no artifact may have."""
        if not is_plain(file.path) or "\\" in file.path:
            raise Refused("its name leads elsewhere, or is no text")
        if any(len(name.encode()) > _LONGEST for name in file.path.split("/")):
            raise Refused(f"its name is longer than {_LONGEST} bytes")
        path = f"{folder}/{file.path}"
        if len(path.encode()) > _LONGEST_PATH:
            raise Refused(f"its path is longer than {_LONGEST_PATH} bytes")
        return path

    def _move(self, draft: Path, path: str) -> None:
        if not isinstance(self._root, LocalFolder):
            self._root.put(path, draft)
            return
        target = below(self._root.path, path, path)
        if target.is_dir():
            raise Refused("a folder lies at its place")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Refused("a file lies where its folder would be") from None
        draft.replace(target)

    def _is_there(self, path: str, file: File) -> bool:
        try:
            here = self._root.entry(path)
        except NotFound:
            return False
        if here.is_folder or here.size != file.size:
            return False
        # What lies at its place was put there whole: only what is cheap to read is compared.
        if not (file.near and isinstance(self._root, LocalFolder)):
            return True
        with file.open() as theirs, opened(self._root.open_path(path)) as ours:
            return _same(theirs, ours)


def _same(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    """Whether two streams of pieces of one size hold the same."""
    end: list[bytes | None] = [None]
    return all(a == b for a, b in zip(chain(one, end), chain(other, end), strict=False))
