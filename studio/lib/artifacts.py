"""The artifacts of this Studio, by the addresses that MLflow gives them.

They lie below STUDIO_ARTIFACTS: a folder of this machine, or s3://bucket/prefix. What does not lie below it
is never opened, whatever an address says.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from studio.lib.errors import NotFound, Unavailable
from studio.lib.folders import Entry, Folder, LocalFolder, below, outside
from studio.lib.s3 import S3Folder

__all__ = ["Entry", "Folder", "LocalFolder", "destination", "folder_of", "make", "root", "trouble"]

_LOOK_AGAIN = 20.0  # seconds


def root() -> Folder:
    """All artifacts: what STUDIO_ARTIFACTS names."""
    place: Path | str = settings.ARTIFACTS
    return LocalFolder(place) if isinstance(place, Path) else S3Folder.at(place)


def destination() -> str:
    """STUDIO_ARTIFACTS as MLflow is told it."""
    place: Path | str = settings.ARTIFACTS
    return place.as_uri() if isinstance(place, Path) else place


def make() -> None:
    """Make the folder that STUDIO_ARTIFACTS names, for this account alone. A bucket is the administrator's to make."""
    place: Path | str = settings.ARTIFACTS
    if isinstance(place, Path):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)


class _Watch:
    """Looks after the store now and then, in a thread, so that who asks is never kept waiting by it."""

    def __init__(self) -> None:
        self._lock, self._due, self._told = Lock(), 0.0, ""
        self._looking: Thread | None = None

    def told(self) -> str:
        with self._lock:
            # On a store that hangs the last look has not ended: no further one joins it.
            looking = self._looking is not None and self._looking.is_alive()
            if time.monotonic() >= self._due and not looking:
                self._due = time.monotonic() + _LOOK_AGAIN
                self._looking = Thread(target=self._look, daemon=True)
                self._looking.start()
        return self._told

    def _look(self) -> None:
        try:
            root().check()
            self._told = ""
        except Unavailable as away:
            self._told = away.message
        except OSError as failure:
            self._told = f"STUDIO_ARTIFACTS={settings.ARTIFACTS} cannot be read: {failure.strerror}"


_WATCH = _Watch()


def trouble() -> str:
    """What was wrong with the store when it was last looked at, half a minute ago at most. Empty: nothing."""
    return _WATCH.told()


def folder_of(uri: str) -> Folder:
    """The folder of an artifact address.

    Raises NotFound for an address outside STUDIO_ARTIFACTS: another store, another host, or a path that leads out.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:  # a bracket left open, say
        raise outside(uri) from None
    place: Path | str = settings.ARTIFACTS
    if isinstance(place, Path):
        return _local_folder(place, uri, parts)
    return _s3_folder(S3Folder.at(place), uri, parts)


def _local_folder(root: Path, uri: str, parts: SplitResult) -> LocalFolder:
    path = unquote(parts.path) if parts.scheme else uri
    if parts.scheme == "mlflow-artifacts" and not parts.netloc:
        path = path.lstrip("/")
    elif parts.scheme not in ("file", "") or parts.netloc not in ("", "localhost"):
        raise outside(uri)
    # To MLflow a relative path is one of wherever its process runs; of one run to another's none need lead.
    relative = parts.scheme != "mlflow-artifacts" and not path.startswith("/")
    if relative or ".." in path.split("/"):
        raise outside(uri)
    folder = below(root, path, uri)
    if folder == root.resolve():
        raise _no_folder_of_its_own(uri)
    return LocalFolder(folder)


def _s3_folder(root: S3Folder, uri: str, parts: SplitResult) -> S3Folder:
    if parts.scheme == "mlflow-artifacts" and not parts.netloc:
        path = unquote(parts.path).strip("/")
    else:
        path = root.relative(uri)
    if not path:
        raise _no_folder_of_its_own(uri)
    return root.sub(path, uri)


def _no_folder_of_its_own(uri: str) -> NotFound:
    return NotFound(f"{uri!r} names no folder of its own below STUDIO_ARTIFACTS.")
