"""A backup: the database as it is at one moment, and the artifacts that belong to it, while Studio runs.

What is promised. The database is one moment of it, after the backup began: whatever was acknowledged before
is in it. Artifacts are copied after that moment, so that every file that the database names is there, and
perhaps some that came later, which do no harm. A file that changes while it is copied is copied again. What
is deleted meanwhile (by `mlflow gc`, say) is missing, and told: the backup counts such files, and names the
models whose files the store did not hold when it was copied.

Artifacts are written once. A file that is as the last backup in the same place saw it (size, mtime, ctime) is
hard-linked from there where the filesystem allows it: a backup each day costs what the day has brought.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from studio.backup import database, folder, keys, manifest, room, stores, versions
from studio.backup.copying import digest, private_files
from studio.backup.database import Snapshot
from studio.backup.failure import BackupFailed, full_disk_told
from studio.backup.folder import Folder
from studio.backup.gather import Gathering
from studio.backup.manifest import Manifest
from studio.backup.telling import Progress, Say
from studio.launch import hosts
from studio.lib.text import counted, sized


def take(place: Path, *, database_only: bool, say: Say) -> Folder:
    """Write a backup below `place`. Raises BackupFailed, and then leaves nothing."""
    began = datetime.now(UTC)
    store = None if database_only else _store()
    _require_outside(place, store)
    with (
        full_disk_told(place, "Nothing of this backup was kept: make room, then take it again."),
        private_files(),
        stores.running_database(say),
        folder.draft(place, began) as new,
    ):
        say(f"taking a backup of {settings.HOME.root}")
        gathering = Gathering(new, _last(place), say)
        size = database.size(settings.DATABASE_URL)
        files = gathering.look(store) if store else 0
        room.require([(place, size.dump + files)], say)
        with database.snapshot(settings.DATABASE_URL) as moment:
            written_by, models = versions.of(moment), moment.models()
            _require_common(moment)
            dump, dumped = moment.dump(new.database, Progress(say, "dumped").moved)
        say(f"the database is dumped, {sized(dumped)}")
        if store:
            gathering.copy(store)
            say(f"{counted(gathering.files, 'artifact')} copied, {sized(gathering.size)}")
        secrets = keys.save(new)
        os.sync()  # all of it is on the disk before the manifest says so
        Manifest(
            began=_told(began),
            ended=_told(datetime.now(UTC)),
            versions=written_by,
            database=dump,
            database_size=dumped,
            database_room=size.room,
            with_artifacts=store is not None,
            files=gathering.digest,
            files_count=gathering.files,
            files_size=gathering.size,
            key=keys.fingerprint(settings.SECRET_KEY),
            secrets=secrets,
            missing=gathering.missing(store, models) if store else [],
            notes=gathering.notes,
        ).write(new)
    return Folder(place / new.root.name.removeprefix(folder.DRAFT))


def _store() -> Path:
    """The folder of artifacts. Raises BackupFailed where it is none."""
    store: Path | str = settings.ARTIFACTS
    if not isinstance(store, Path):
        raise BackupFailed(
            f"The artifacts are in an object store, {store}, which keeps them better than a copy would: turn on its "
            "versioning or replication. Then back up the rest with --database-only."
        )
    if not store.is_dir() and store != settings.HOME.artifacts:
        raise BackupFailed(
            f"The artifact store is out of reach: there is no folder {store} (STUDIO_ARTIFACTS)."
        )
    return store


def _require_common(moment: Snapshot) -> None:
    """Raises BackupFailed where store or key are not those of the database, in a cron job without Studio's settings say."""
    noted = moment.common()
    try:
        if noted is not None:
            hosts.refuse_other(*noted)
    except ImproperlyConfigured as failure:
        raise BackupFailed(
            f"What would be backed up does not belong together: {failure}. "
            "Give this command the settings that Studio runs with."
        ) from None


def _require_outside(place: Path, store: Path | None) -> None:
    """A backup of backups would grow for ever; and what is lost with the home is no backup."""
    for kept in filter(None, (settings.HOME.root, store)):
        if place.resolve().is_relative_to(kept.resolve()):
            raise BackupFailed(
                f"{place} lies in {kept}, which is backed up: write to another disk."
            )


def _last(place: Path) -> Folder | None:
    """The newest backup there whose list of artifacts is whole."""
    for found in reversed(folder.finished(place)):
        try:
            told_by = manifest.read(found)
        except BackupFailed:
            continue
        if told_by.with_artifacts and digest(found.files, lambda _: None)[0] == told_by.files:
            return found
    return None


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
