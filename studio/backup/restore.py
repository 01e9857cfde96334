"""A restore: a backup, verified, into an empty home and an empty database.

A file in the home says that it has begun; `up` refuses such a home. A restore that was ended half way is gone
on with by another one of the same backup, which writes everything again but a database that is done. A database
comes whole or not at all. Nothing is ever written over what was there before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from studio.backup import (
    database,
    folder,
    keys,
    manifest,
    marker,
    room,
    rows,
    stores,
    tree,
    versions,
)
from studio.backup.copying import copy
from studio.backup.failure import BackupFailed, full_disk_told
from studio.backup.folder import Folder
from studio.backup.manifest import Manifest
from studio.backup.marker import Marker
from studio.backup.telling import Progress, Say
from studio.backup.verify import require_inside, verify
from studio.lib.text import counted, sized

# What a home may hold that no Studio has run from: settings make the secrets when they are read.
_OF_NOBODY = {"secrets", "run", "up.lock", "restore-unfinished.half"}
_GO_ON = "What was restored so far is kept: make room, then run the same restore again."


def restore(place: Path, say: Say) -> Folder:
    """Restore the backup that `place` is, or the newest one in it. Raises BackupFailed."""
    source = folder.find(place)
    saved = manifest.read(source)
    versions.require_known(saved)
    keys.require_same(saved)
    say(f"restoring {source.root} into {settings.HOME.root}")
    with stores.stopped_studio(), full_disk_told(settings.HOME.root, _GO_ON):
        begun = _begun(source)
        if begun is None:
            _require_empty(saved)
        verify(source, saved, say)
        say("every file of the backup is as it was written")
        if begun is None:
            room.require(_needs(saved), say)
            begun = Marker(manifest.identity(source.manifest), str(source.root))
            begun.write(settings.HOME.unfinished_restore)
        keys.bring_back(source, saved, settings.HOME)
        if saved.with_artifacts:
            _bring_artifacts(source, saved, say)
        _bring_database(source, saved, begun, say)
        settings.HOME.unfinished_restore.unlink()
    return source


def _begun(source: Folder) -> Marker | None:
    """What an earlier restore of this backup has noted. Raises BackupFailed where it was one of another."""
    begun = marker.read(settings.HOME.unfinished_restore)
    if begun is not None and begun.backup != manifest.identity(source.manifest):
        raise BackupFailed(
            f"A restore of {begun.source} into {settings.HOME.root} was not finished. Run that one again; "
            f"or delete {settings.HOME.root} to begin anew."
        )
    return begun


def _require_empty(saved: Manifest) -> None:
    """Raises BackupFailed where a Studio has lived here before."""
    home = settings.HOME
    there = sorted(path.name for path in home.root.iterdir() if _holds_something(path))
    if home.admin_password.exists():
        there.append("secrets/admin-password")
    if there:
        raise BackupFailed(
            f"The home {home.root} is not empty, {there[0]} is there. Set STUDIO_HOME to a new folder."
        )
    if saved.with_artifacts and _store().exists() and any(_store().iterdir()):
        raise BackupFailed(
            f"The artifact store {_store()} is not empty. Set STUDIO_ARTIFACTS to a new folder."
        )
    if not settings.POSTGRES_EMBEDDED:
        database.require_empty(settings.DATABASE_URL)


def _holds_something(path: Path) -> bool:
    """A start that was refused has made folders, and put nothing into them."""
    return path.name not in _OF_NOBODY and not (path.is_dir() and not any(path.iterdir()))


def _store() -> Path:
    store: Path | str = settings.ARTIFACTS
    if not isinstance(store, Path):
        raise BackupFailed(
            f"The backup holds artifacts, which are restored to a folder: STUDIO_ARTIFACTS is {store}. Leave it out, "
            "or give a folder; the files can be moved to an object store afterwards."
        )
    return store


def _needs(saved: Manifest) -> list[tuple[Path, int]]:
    needs = [(_store(), saved.files_size)] if saved.with_artifacts else []
    if settings.POSTGRES_EMBEDDED:
        needs.append((settings.HOME.root, saved.database_room))
    return needs


def _bring_artifacts(source: Folder, saved: Manifest, say: Say) -> None:
    """The links last: nothing is written through one."""
    store = _store()
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    progress = Progress(say, "restored", total=saved.files_size)
    for entry in tree.read(source.files):
        require_inside(entry)
        if not entry.link:
            target = store / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            copied = copy(source.artifacts / entry.path, target, entry.path, progress.moved)
            if copied is None or copied.sha256 != entry.sha256:
                raise BackupFailed(f"{source.artifacts / entry.path} was changed meanwhile.")
            progress.files += 1
    for entry in tree.read(source.files):
        if entry.link:
            (store / entry.path).parent.mkdir(parents=True, exist_ok=True)
            (store / entry.path).unlink(missing_ok=True)
            (store / entry.path).symlink_to(entry.link)
    os.sync()
    say(f"{counted(saved.files_count, 'artifact')} restored, {sized(saved.files_size)}")


def _bring_database(source: Folder, saved: Manifest, begun: Marker, say: Say) -> None:
    if settings.POSTGRES_EMBEDDED and not begun.database and settings.HOME.postgres.exists():
        shutil.rmtree(settings.HOME.postgres)  # what an earlier try has made
    with stores.embedded() if settings.POSTGRES_EMBEDDED else nullcontext():
        if not begun.database:
            database.require_empty(settings.DATABASE_URL)
            progress = Progress(say, "wrote to the database")
            database.restore(settings.DATABASE_URL, source.database, progress.moved)
            replace(begun, database=True).write(settings.HOME.unfinished_restore)
            say("the database is restored")
        with _connection_closed():
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            queued = rows.put_right()
        if queued:
            say(
                f"{counted(queued, 'deployment')} will be built and started again by Studio's start"
            )


@contextmanager
def _connection_closed() -> Iterator[None]:
    """Before the database ends under them."""
    try:
        yield
    finally:
        connections.close_all()
        close_pool = getattr(connections["default"], "close_pool", None)
        if close_pool is not None:
            close_pool()
