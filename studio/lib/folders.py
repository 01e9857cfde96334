"""What a folder of artifacts can do, wherever it lies, and folders of this machine."""

from __future__ import annotations

import mimetypes
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import BinaryIO, Protocol

from studio.lib import drafts
from studio.lib.errors import Invalid, NotFound, Unavailable

PIECE = 64 * 1024  # bytes
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. `path` is relative to the folder that was asked; size in bytes, 0 of a folder."""

    name: str
    path: str
    is_folder: bool
    size: int

    @property
    def kind(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


class Opened(Protocol):
    """A file that is open: all that comes of it is of one file, though another takes its place meanwhile.

    `size` in bytes, `modified` in seconds since the epoch. `tag`: an ETag, another one for every other content.
    """

    @property
    def size(self) -> int: ...

    @property
    def modified(self) -> float: ...

    @property
    def tag(self) -> str: ...

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Its bytes from `start` up to `stop`, once. What is wrong with it is raised at once, as a folder raises it."""

    def close(self) -> None: ...


class Folder(Protocol):
    """A folder of artifacts: of this machine, or of an object store. It need not exist yet.

    Paths are relative, with `/` between their names. One that leads out, or to nothing, raises NotFound;
    a store that does not answer raises Unavailable, with the reason. Memory stays flat whatever a file's size.
    """

    def __str__(self) -> str:
        """Its address, for people."""

    def check(self) -> None:
        """Raise Unavailable unless the store can be reached and read."""

    def entry(self, path: str) -> Entry:
        """What lies there."""

    def entries(self, path: str = "") -> list[Entry]:
        """What lies in a folder: folders first, then files, by name. Nothing at all: the folder itself is not there."""

    def files(self, path: str = "") -> Iterator[Entry]:
        """Every file below, however deep, by path."""

    def head(self, path: str, most: int) -> bytes:
        """The first bytes of a file."""

    def pieces(self, path: str) -> Iterator[bytes]:
        """A file as a stream. It is opened before the first piece is asked for: NotFound is raised at once."""

    def open(self, path: str) -> Opened:
        """A file, to be sent in part or whole. The caller closes it."""

    def copy(self, path: str, target: Path, told: Told = lambda count: None) -> None:
        """Copy a file to this machine, into a folder that is there.

        `told` is called after each part with its size in bytes, from any thread; what it raises ends the copy.
        """

    def put(self, path: str, source: Path) -> None:
        """Store a file of this machine, in place of what lies there. It appears whole or not at all."""

    def receive(self, path: str, pieces: Iterable[bytes], size: int | None = None) -> None:
        """Store what comes, in place of what lies there: once it returns, for good and whole.

        What `pieces` raises is raised, and leaves what was there before. `size` in bytes, where it is known.
        Raises Invalid where there can be no such file: a folder has its name, or a file that of its folder.
        """


class _LocalFile:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        state = os.fstat(file.fileno())
        self.size, self.modified = state.st_size, state.st_mtime

    @property
    def tag(self) -> str:
        """As MLflow's server makes it: who has begun there goes on here."""
        content = f"{self.modified}-{self.size}".encode()
        return f'"{md5(content, usedforsecurity=False).hexdigest()}"'

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        self._file.seek(start)
        while piece := self._file.read(min(PIECE, stop - start)):
            yield piece
            start += len(piece)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine. Every path is resolved, links and all, before it is compared with it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def check(self) -> None:
        if not self.path.is_dir():
            raise Unavailable(
                f"The artifact store is out of reach: there is no folder {self.path} (STUDIO_ARTIFACTS). "
                "Try again when it is back."
            )

    def open_path(self, path: str) -> Path:
        """Where an existing file or folder really lies."""
        found = below(self.path, path, path)
        if not _is_ordinary(found):
            raise NotFound(f"There is no artifact at {path or '/'}.")
        return found

    def entry(self, path: str) -> Entry:
        real = self.open_path(path)
        is_folder = real.is_dir()
        name = path.rstrip("/").rpartition("/")[2]
        return Entry(name, path, is_folder, 0 if is_folder else real.stat().st_size)

    def entries(self, path: str = "") -> list[Entry]:
        if not path and not self.path.exists():
            return []
        folder = self.open_path(path)
        if not folder.is_dir():
            raise NotFound(f"{path} is a file, not a folder.")
        found = []
        for child in folder.iterdir():
            if child.name.startswith(drafts.PREFIX):
                continue
            relative = f"{path.rstrip('/')}/{child.name}".lstrip("/")
            if not (self._leads_inside(relative) if child.is_symlink() else _is_ordinary(child)):
                continue
            is_folder = child.is_dir()
            size = 0 if is_folder else child.stat().st_size
            found.append(Entry(child.name, relative, is_folder, size))
        return sorted(found, key=lambda entry: (not entry.is_folder, entry.name))

    def files(self, path: str = "") -> Iterator[Entry]:
        """Links to files are followed. Raises NotFound for one that leads out, and for one to a folder."""
        start = below(self.path, path, path)
        for child in sorted(start.rglob("*")):
            if child.name.startswith(drafts.PREFIX):  # it may be gone before it is looked at
                continue
            relative = str(child.relative_to(start))
            told = f"{path.rstrip('/')}/{relative}".lstrip("/")
            real = self.open_path(told)
            if child.is_symlink() and real.is_dir():
                raise NotFound(f"{told} is a link to a folder, which Studio does not follow.")
            if real.is_file():
                yield Entry(child.name, told, False, real.stat().st_size)

    def head(self, path: str, most: int) -> bytes:
        with self._file(path).open("rb") as file:
            return file.read(most)

    def pieces(self, path: str) -> Iterator[bytes]:
        file = self._file(path).open("rb")

        def read() -> Iterator[bytes]:
            with file:
                while piece := file.read(PIECE):
                    yield piece

        return read()

    def open(self, path: str) -> Opened:
        return _LocalFile(self._file(path).open("rb"))

    def copy(self, path: str, target: Path, told: Told = lambda count: None) -> None:
        with target.open("wb") as copy:
            for piece in self.pieces(path):
                told(copy.write(piece))

    def put(self, path: str, source: Path) -> None:
        target = below(self.path, path, path)
        if target == self.path.resolve() or target.is_dir():
            raise NotFound(f"{path or '/'} is a folder: a file cannot be put in its place.")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            shutil.copyfile(source, draft)
            draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)

    def receive(self, path: str, pieces: Iterable[bytes], size: int | None = None) -> None:
        target = self._place_for(path)
        try:
            drafts.write_whole(target, pieces)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):  # as of this moment
            raise taken(path) from None

    def _place_for(self, path: str) -> Path:
        """Where a file of this name is to lie. A link there is replaced, but must not lead out either."""
        folder, _, name = path.rpartition("/")
        present = below(self.path, path, path)
        target = below(self.path, folder, path) / name
        try:
            first = next(each for each in target.parents if each.exists())
            if not name or target.is_dir() or not first.is_dir():
                raise taken(path)
            strange = present.exists() and not present.is_file()
        except OSError:  # too long a name
            raise outside(path) from None
        if strange:
            raise outside(path)
        return target

    def _file(self, path: str) -> Path:
        found = self.open_path(path)
        if found.is_dir():
            raise NotFound(f"{path or '/'} is a folder, not a file.")
        return found

    def _leads_inside(self, path: str) -> bool:
        try:
            self.open_path(path)
        except NotFound:
            return False
        return True


def below(root: Path, path: str, told: str) -> Path:
    """Where a path below `root` really leads. Raises NotFound if that is elsewhere."""
    if "\0" in path:
        raise outside(told)
    try:
        resolved = (root / path).resolve()
    except (OSError, RuntimeError):  # links that lead in a circle
        raise outside(told) from None
    if not resolved.is_relative_to(root.resolve()):
        raise outside(told)
    return resolved


def taken(path: str) -> Invalid:
    return Invalid(
        f"No file can be stored at {path or '/'}: there is a folder of this name, or a file in place of its folder."
    )


def outside(told: str) -> NotFound:
    return NotFound(f"{told!r} does not lie below STUDIO_ARTIFACTS, so Studio does not open it.")


def _is_ordinary(path: Path) -> bool:
    """Whether this is a file or a folder: not absent, and no pipe, whose opening would wait for ever."""
    try:
        path.name.encode()
        return path.is_file() or path.is_dir()
    except (
        OSError,
        UnicodeEncodeError,
    ):  # too long, not readable, or no text: no address can name it
        return False
