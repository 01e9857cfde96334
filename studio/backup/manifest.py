"""What a backup holds and how it was taken: written last, so that a folder without it is half a backup."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from studio.backup.failure import BackupFailed
from studio.backup.folder import Folder

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Versions:
    """What the database was written by. `revisions` are MLflow's, by table; `migrations` Studio's, as app.name."""

    studio: str
    mlflow: str
    server: int
    revisions: dict[str, str]
    migrations: list[str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`database` and `files` are the digests of the dump and of the artifacts' list. Sizes in bytes.

    `key` is a fingerprint of STUDIO_SECRET_KEY, `secrets` the digests of the files of secrets that are
    included. `missing` are models whose files the store did not hold, `notes` what else a person should know.
    """

    began: str
    ended: str
    versions: Versions
    database: str
    database_size: int  # of the dump
    database_room: int  # of the database that it came from
    with_artifacts: bool
    files: str
    files_count: int
    files_size: int
    key: str
    secrets: dict[str, str]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    format: int = FORMAT

    def write(self, folder: Folder) -> None:
        """To the disk itself, under another name first. What lies beside it is already there."""
        half = folder.manifest.with_suffix(".half")
        with half.open("w") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        half.rename(folder.manifest)


def read(folder: Folder) -> Manifest:
    """Raises BackupFailed where there is no whole one, or one of a later Studio."""
    try:
        told = json.loads(folder.manifest.read_text())
        if told["format"] > FORMAT:
            raise BackupFailed(
                f"{folder.root} was written by a later Studio ({told['versions']['studio']}). Restore it with that one."
            )
        return Manifest(**told | {"versions": Versions(**told["versions"])})
    except FileNotFoundError:
        raise BackupFailed(
            f"{folder.root} is half a backup: it has no manifest.json, which is written last. Take another one."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BackupFailed(
            f"{folder.manifest} is not whole: the backup cannot be told from half of one. Take another one."
        ) from None


def identity(path: Path) -> str:
    """Which backup it is: no two have the same times, digests and all."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
