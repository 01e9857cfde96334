"""Files of a source that lies on this machine. Links are not followed, and only what was named is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from studio.importing.addresses import public
from studio.importing.units import File, Files, Refused, Unreachable

_PIECE = 1024 * 1024
# What a folder of artifacts is called by its last names: <experiment>/<run>/artifacts and the like.
_DEPTHS = (3, 4)


@contextmanager
def opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The bytes of an ordinary file, in pieces. Raises Refused for a link, a pipe and what cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        raise Refused(f"it cannot be read: {failure.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused("it is no ordinary file")
        yield iter(lambda: file.read(_PIECE), b"")


def read(path: Path, most: int) -> bytes:
    """A small file whole. Raises Refused, also when it holds more than `most` bytes."""
    with opened(path) as pieces:
        found = b""
        for piece in pieces:
            found += piece
            if len(found) > most:
                raise Refused(f"it is larger than {most} bytes")
    return found


class Folder:
    """A folder of artifacts. One that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def walk(self, refuse: Callable[[str, str], None]) -> Iterator[File]:
        if self._path.is_dir() and not self._path.is_symlink():
            yield from self._walk(self._path, "", refuse)

    def _walk(self, folder: Path, told: str, refuse: Callable[[str, str], None]) -> Iterator[File]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as failure:
            refuse(told, f"the folder cannot be read: {failure.strerror}")
            return
        for entry in entries:
            path = f"{told}/{entry.name}".lstrip("/")
            if entry.is_symlink():
                refuse(path, "links are not followed")
            elif entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), path, refuse)
            elif entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                yield File(path, size, lambda place=entry.path: opened(Path(place)))  # type: ignore[misc]
            else:
                refuse(path, "it is no ordinary file")


class Nothing:
    """No files."""

    def walk(self, refuse: Callable[[str, str], None]) -> Iterator[File]:
        return iter(())


class Late:
    """Files whose place is looked for when they are asked for: most runs are here already."""

    def __init__(self, find: Callable[[], Files]) -> None:
        self._find = find

    def walk(self, refuse: Callable[[str, str], None]) -> Iterator[File]:
        return self._find().walk(refuse)


class Roots:
    """The folders that the importer may read artifacts from: the source's own and those that were given."""

    def __init__(self, own: list[Path], given: list[Path], beside: Path) -> None:
        found = [path for path in own if path.is_dir() and not path.is_symlink()]
        self._roots = [path.resolve() for path in found + given]
        self._beside = beside
        self._places: set[tuple[str, ...]] = set()

    def learn(self, experiment: str) -> None:
        """Note the place that an experiment's artifacts lie in with others', if the experiment's are here."""
        try:
            names = self._names(experiment)
        except Unreachable:
            return
        if any(_is_folder(root / names[-1]) for root in self._roots):
            self._places.add(names[:-1])

    def files(self, address: str) -> Files:
        """What lies at an address of the source. Raises Unreachable."""
        names = self._names(address)
        existing = [place for place in self._candidates(names) if _is_folder(place)]
        if existing:
            return Folder(existing[0].resolve())
        # Where its neighbours are here it has none: MLflow makes a folder with the first file.
        inside = names[0] == "/" and self._below(Path(*names))
        if inside or self._places & {names[:-depth] for depth in _DEPTHS}:
            return Nothing()
        raise Unreachable(
            f"there is nothing at {_parent(address)} that may be read; "
            "give the folder that these files lie in with --artifacts"
        )

    def _names(self, address: str) -> tuple[str, ...]:
        """The names of its path. Raises Unreachable for another store than one of files."""
        try:
            parts = urlsplit(address)
        except ValueError:
            raise Unreachable("their address cannot be read") from None
        if parts.scheme not in ("", "file", "mlflow-artifacts"):
            raise Unreachable(
                f"they lie in {public(f'{parts.scheme}://{parts.netloc}')}, not in files here"
            )
        path = unquote(parts.path) if parts.scheme else address
        if parts.scheme == "" and not path.startswith("/"):
            path = f"{self._beside}/{path.removeprefix('./')}"
        names = PurePosixPath(path).parts
        if ".." in names or "\0" in path or len(names) < 2:
            raise Unreachable("their address leads elsewhere")
        return names if parts.scheme != "mlflow-artifacts" else names[1:]

    def _candidates(self, names: tuple[str, ...]) -> Iterator[Path]:
        """Where it may lie, below a root only: at its address, as its server would serve it, or moved."""
        if names[0] == "/":
            yield from filter(self._below, [Path(*names)])
        else:
            yield from filter(self._below, (Path(root, *names) for root in self._roots))
        for root, depth in self._known(names):
            yield from filter(self._below, [Path(root, *names[-depth:])])

    def _known(self, names: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
        return ((root, depth) for root in self._roots for depth in _DEPTHS if len(names) >= depth)

    def _below(self, path: Path) -> bool:
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            return False
        return any(real != root and real.is_relative_to(root) for root in self._roots)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or none
        return False


def _parent(address: str) -> str:
    """The folder of all that an address is one of, so that many of them are one reason."""
    return public("/".join(address.rstrip("/").split("/")[:-3]) or address)
