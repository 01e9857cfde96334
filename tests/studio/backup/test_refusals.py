"""What a restore refuses, before it has written anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from studio.backup import database, manifest, stores
from studio.backup import restore as module
from studio.backup.copying import digest
from studio.backup.failure import BackupFailed
from studio.backup.folder import Folder
from studio.backup.restore import restore
from studio.lib.home import Home
from tests.studio.backup.conftest import Take
from tests.studio.backup.kit import Lines, change, contents

_made: list[Folder] = []


@pytest.fixture
def backup(
    back_up: Take, store: Path, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Folder:
    """A copy of one that was taken once for all of these tests."""
    if not _made:
        (store / "1/link").symlink_to("run/plot.png")
        kept = tmp_path_factory.mktemp("backup") / "2026-01-01T000000Z"
        shutil.copytree(back_up().root, kept)
        _made.append(Folder(kept))
        shutil.rmtree(place)
    return Folder(Path(shutil.copytree(_made[0].root, place / _made[0].root.name)))


@pytest.fixture
def home(backup: Folder, settings: Settings, tmp_path: Path) -> Home:
    """A new home with an embedded database, on the same machine."""
    settings.HOME, settings.POSTGRES_EMBEDDED = Home(tmp_path / "home"), True
    settings.ARTIFACTS = settings.HOME.artifacts
    settings.HOME.secret("secret-key")  # as the settings make it
    return Home(tmp_path / "home")


@pytest.fixture
def refused(home: Home, said: Lines) -> Callable[[Path], str]:
    """The words of a restore that is refused. Nothing has changed then."""

    def refused(place: Path) -> str:
        before = contents(home.root)
        with pytest.raises(BackupFailed) as failure:
            restore(place, said)
        assert contents(home.root) | {"up.lock": ""} == before | {"up.lock": ""}
        return str(failure.value)

    return refused


Refused = Callable[[Path], str]


def test_half_a_backup_is_refused(backup: Folder, refused: Refused, place: Path) -> None:
    backup.root.rename(place / f"unfinished-{backup.root.name}")
    (place / f"unfinished-{backup.root.name}/manifest.json").unlink()
    assert "holds half a backup: it has no manifest.json" in refused(place)
    assert "holds half a backup: it has no manifest.json" in refused(
        place / f"unfinished-{backup.root.name}"
    )
    assert "There is no folder" in refused(place / "elsewhere")
    (place / "empty").mkdir()
    assert f"There is no backup in {place}/empty" in refused(place / "empty")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_manifest_that_is_cut_off_is_refused(
    backup: Folder, refused: Refused, share: float
) -> None:
    text = backup.manifest.read_text()
    backup.manifest.write_text(text[: int(len(text) * share)])
    assert "manifest.json is not whole" in refused(backup.root)


@pytest.mark.parametrize(
    "name",
    ["database.dump", "files.jsonl", "artifacts/1/run/plot.png", "secrets/secret-key"],
)
def test_a_file_that_is_another_or_missing_is_named(
    backup: Folder, refused: Refused, name: str
) -> None:
    path = backup.root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"The backup is damaged: {path} is not the file that was written" in refused(backup.root)
    path.unlink()
    assert f"The backup is damaged: {path} cannot be read" in refused(backup.root)


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (
            lambda told: told.update(format=2, versions=told["versions"] | {"studio": "9.0"}),
            r"was written by a later Studio \(9\.0\)",
        ),
        (
            lambda told: told["versions"]["migrations"].append("endpoints.9999_replaced"),
            r"The backup is of a later Studio, .*migration endpoints\.9999_replaced.* Restore it with that one",
        ),
        (
            lambda told: told["versions"]["revisions"].update(alembic_version="fedcba987654"),
            r"tables are of a later MLflow, .*revision fedcba987654.*here is",
        ),
        (
            lambda told: told["versions"]["revisions"].update(alembic_version_auth="fedcba987654"),
            r"tables are of a later MLflow",
        ),
    ],
)
def test_the_backup_of_a_later_version_is_refused(
    backup: Folder, refused: Refused, alter: Callable[[dict[str, Any]], object], words: str
) -> None:
    change(backup, alter)
    assert re.search(words, refused(backup.root))


@pytest.mark.parametrize("used", ["postgres", "logs", "secrets/admin-password"])
def test_a_home_that_is_not_empty_is_refused(
    backup: Folder, home: Home, refused: Refused, used: str
) -> None:
    (home.root / used / "kept").mkdir(parents=True)
    assert f"The home {home.root} is not empty, {used} is there" in refused(backup.root)


def test_folders_that_a_refused_start_has_made_are_no_obstacle(
    backup: Folder, home: Home, settings: Settings
) -> None:
    for name in ("artifacts", "logs", "run"):
        (home.root / name).mkdir(exist_ok=True)
    settings.ARTIFACTS = home.artifacts
    settings.POSTGRES_EMBEDDED = True
    module._require_empty(manifest.read(backup))


def test_a_store_that_is_not_empty_is_refused(
    backup: Folder, refused: Refused, settings: Settings, store: Path
) -> None:
    settings.ARTIFACTS = store
    before = contents(store)
    assert f"The artifact store {store} is not empty" in refused(backup.root)
    assert contents(store) == before


def test_a_database_that_is_not_empty_is_refused(
    backup: Folder, refused: Refused, settings: Settings
) -> None:
    settings.POSTGRES_EMBEDDED = False
    assert re.search(r"DATABASE_URL is not empty, \d+ tables", refused(backup.root))


def test_a_home_that_studio_runs_from_is_refused(
    backup: Folder, home: Home, refused: Refused
) -> None:
    with stores.stopped_studio():
        assert f"Studio is running from {home.root}" in refused(backup.root)


def test_a_disk_that_is_too_small_is_refused(backup: Folder, refused: Refused) -> None:
    change(backup, lambda told: told.update(files_size=10**18))
    assert "GB are needed: make room there" in refused(backup.root)


def test_another_secret_key_is_refused(
    backup: Folder, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_SECRET_KEY", "another key that is long enough for Studio")
    told = refused(backup.root)
    assert "STUDIO_SECRET_KEY is not the key of this backup" in told
    assert "unset it: the backup brings its own" in told
    assert "another key" not in told


def test_a_key_that_came_from_the_environment_is_asked_for(
    back_up: Take,
    store: Path,
    settings: Settings,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.HOME, settings.POSTGRES_EMBEDDED = Home(store.parent / "other"), False
    settings.ARTIFACTS = store
    settings.SECRET_KEY = "a key of the administrator's that is long"
    monkeypatch.setenv("STUDIO_SECRET_KEY", settings.SECRET_KEY)
    made = back_up()
    assert list(made.secrets.iterdir()) == []
    assert settings.SECRET_KEY not in made.manifest.read_text()
    monkeypatch.delenv("STUDIO_SECRET_KEY")
    settings.HOME, settings.POSTGRES_EMBEDDED = Home(store.parent / "home"), True
    settings.ARTIFACTS = settings.HOME.artifacts
    assert "so it is not in the backup. Set the same one here" in refused(made.root)


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "../outside", "sha256": "x"},
        {"path": "/etc/cron.d/x", "sha256": "x"},
        {"path": "1/../../outside", "sha256": "x"},
        {"path": "", "sha256": "x"},
        {"path": "1/link", "link": "/etc/passwd"},
        {"path": "1/link", "link": "../../outside"},
        {"path": "1/link", "link": "run/../../../outside"},
    ],
)
def test_a_path_that_leads_out_is_refused(
    backup: Folder, refused: Refused, entry: dict[str, str]
) -> None:
    backup.files.write_text(json.dumps(entry) + "\n")
    change(backup, lambda told: told.update(files=digest(backup.files, lambda count: None)[0]))
    assert "The backup names a file outside the store" in refused(backup.root)


def test_an_unknown_secret_is_refused(backup: Folder, refused: Refused) -> None:
    change(backup, lambda told: told["secrets"].update({"../../outside": "x"}))
    assert "names a secret that no Studio has" in refused(backup.root)


def test_a_server_that_is_newer_than_the_programs_is_refused() -> None:
    newer: Any = SimpleNamespace(info=SimpleNamespace(server_version=190001))
    with pytest.raises(BackupFailed, match=r"runs on PostgreSQL 19, .* are of 18: use the pg_dump"):
        database._require_understood(newer)


def test_a_restore_of_another_backup_must_be_gone_on_with_first(
    backup: Folder, back_up: Take, home: Home, said: Lines, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(backup.root, other)
    change(Folder(other), lambda told: told.update(notes=["another one"]))
    shutil.rmtree(backup.root / "artifacts/1")  # so that it is refused once it has begun
    home.unfinished_restore.write_text(
        json.dumps({"backup": "of another", "source": "/backups/another", "database": False})
    )
    with pytest.raises(
        BackupFailed, match="A restore of /backups/another into .* was not finished"
    ):
        restore(other, said)


def test_a_disk_that_gets_full_is_told_and_gone_on_with(
    backup: Folder,
    home: Home,
    settings: Settings,
    said: Lines,
    make_disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Full of names, so that the look at its room beforehand finds enough."""
    settings.ARTIFACTS = disk = make_disk("64m,nr_inodes=6")
    with pytest.raises(BackupFailed, match="No space left on device.*run the same restore again"):
        restore(backup.root, said)
    with pytest.raises(ImproperlyConfigured, match="was not finished"):
        home.require_whole()
    subprocess.run(["mount", "-o", "remount,nr_inodes=100", disk], check=True)
    monkeypatch.setattr(module, "_bring_database", lambda *_: None)  # which other tests do
    restore(backup.root, said)
    home.require_whole()
    assert contents(disk) == contents(backup.artifacts) | {"1/link": "-> run/plot.png"}
