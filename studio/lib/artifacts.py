"""Files below STUDIO_ARTIFACTS, by the addresses that MLflow gives them.

Every path is resolved, links and all, before it is compared with the root: what does not lie below it
is never opened, whatever an address says.
"""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from studio.lib.errors import NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in a listing. `path` is relative to the listing's own root; size in bytes."""

    name: str
    path: str
    is_folder: bool
    size: int

    @property
    def kind(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


def folder_of(uri: str) -> Path:
    """The local folder of an artifact address.

    Raises NotFound for an address outside STUDIO_ARTIFACTS: another store, another host, or a path that leads out.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:  # a bracket left open, say
        raise _outside(uri) from None
    path = unquote(parts.path) if parts.scheme else uri
    if parts.scheme == "mlflow-artifacts" and not parts.netloc:
        path = path.lstrip("/")
    elif parts.scheme not in ("file", "") or parts.netloc not in ("", "localhost"):
        raise _outside(uri)
    # To MLflow a relative path is one of wherever its process runs; of one run to another's none need lead.
    relative = parts.scheme != "mlflow-artifacts" and not path.startswith("/")
    if relative or ".." in path.split("/"):
        raise _outside(uri)
    folder = _below(settings.ARTIFACTS, path, uri)
    if folder == settings.ARTIFACTS.resolve():
        raise NotFound(f"{uri!r} names no folder of its own below STUDIO_ARTIFACTS.")
    return folder


def open_path(root: Path, relative: str) -> Path:
    """An existing file or folder below `root`, a folder from `folder_of`. Raises NotFound."""
    path = _below(root, relative, relative)
    if not _is_ordinary(path):
        raise NotFound(f"There is no artifact at {relative or '/'}.")
    return path


def entries(root: Path, relative: str = "") -> list[Entry]:
    """What lies in a folder: folders first, then files, by name. Raises NotFound."""
    if not relative and not root.exists():
        return []
    folder = open_path(root, relative)
    if not folder.is_dir():
        raise NotFound(f"{relative} is a file, not a folder.")
    found = []
    for child in folder.iterdir():
        path = f"{relative.rstrip('/')}/{child.name}".lstrip("/")
        if not (_leads_inside(root, path) if child.is_symlink() else _is_ordinary(child)):
            continue
        is_folder = child.is_dir()
        found.append(Entry(child.name, path, is_folder, 0 if is_folder else child.stat().st_size))
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name))


def _below(root: Path, path: str, told: str) -> Path:
    if "\0" in path:
        raise _outside(told)
    try:
        resolved = (root / path).resolve()
    except (OSError, RuntimeError):  # links that lead in a circle
        raise _outside(told) from None
    if not resolved.is_relative_to(root.resolve()):
        raise _outside(told)
    return resolved


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


def _leads_inside(root: Path, path: str) -> bool:
    try:
        open_path(root, path)
    except NotFound:
        return False
    return True


def _outside(told: str) -> NotFound:
    return NotFound(f"{told!r} does not lie below STUDIO_ARTIFACTS, so Studio does not open it.")
