"""Whether all of a backup is as its manifest says: everything is read, nothing is believed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from studio.backup import tree
from studio.backup.copying import digest
from studio.backup.failure import BackupFailed
from studio.backup.folder import Folder
from studio.backup.keys import NAMES
from studio.backup.manifest import Manifest
from studio.backup.telling import Progress, Say
from studio.backup.tree import Entry


def verify(folder: Folder, told: Manifest, say: Say) -> None:
    """Raises BackupFailed with the name of the first file that is missing, or another than it was."""
    progress = Progress(say, "verified", total=told.database_size + told.files_size)
    _require(folder.database, told.database, progress)
    for name, sha256 in told.secrets.items():
        if name not in NAMES:
            raise BackupFailed(f"{folder.manifest} names a secret that no Studio has: {name!r}.")
        _require(folder.secrets / name, sha256, progress)
    if not told.with_artifacts:
        return
    _require(folder.files, told.files, progress)
    for entry in tree.read(folder.files):
        require_inside(entry)
        if not entry.link:
            _require(folder.artifacts / entry.path, entry.sha256, progress)
        progress.files += 1


def require_inside(entry: Entry) -> None:
    """Raises BackupFailed for a path or link that would lead out of the store. No backup of Studio's has one."""
    parts = PurePosixPath(entry.path).parts
    up = [part for part in PurePosixPath(entry.link).parts if part == ".."]
    link = PurePosixPath(entry.link)
    leads_out = (
        not parts
        or ".." in parts
        or entry.path.startswith("/")
        or link.is_absolute()
        or len(up) >= len(parts)
        or list(link.parts[: len(up)]) != up
    )
    if leads_out:
        raise BackupFailed(f"The backup names a file outside the store: {entry.path!r}.")


def _require(path: Path, sha256: str, progress: Progress) -> None:
    try:
        found, _ = digest(path, progress.moved)
    except OSError as failure:
        raise BackupFailed(
            f"The backup is damaged: {path} cannot be read ({failure.strerror}). Use another one."
        ) from None
    if found != sha256:
        raise BackupFailed(
            f"The backup is damaged: {path} is not the file that was written. Use another one."
        )
