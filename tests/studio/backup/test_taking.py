"""What a backup holds, what it costs, and what it leaves when it fails: nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from studio.backup import copying, folder, manifest
from studio.backup.failure import BackupFailed
from studio.backup.gather import Gathering
from studio.backup.take import take
from studio.backup.verify import verify
from studio.launch import hosts
from studio.lib.home import STORE_ID
from tests.studio.backup.conftest import Take
from tests.studio.backup.kit import Lines, contents
from tests.support.rows import make_version

_FILES = {"1/run/plot.png", "1/run/model/MLmodel", "2/run/größe & <b>.txt"}


def left(place: Path) -> list[str]:
    """What lies in a place of backups, but for its lock."""
    return sorted(path.name for path in place.iterdir() if path.name != ".lock")


def test_it_holds_database_artifacts_and_key(
    back_up: Take, store: Path, settings: Settings, said: Lines
) -> None:
    made = back_up()
    assert contents(made.artifacts) == contents(store)
    told = manifest.read(made)
    assert (told.files_count, told.missing, told.notes) == (3, [], [])
    assert told.versions.server // 10_000 == 18
    assert (made.secrets / "secret-key").read_text() == settings.SECRET_KEY
    assert made.database.read_bytes()[:5] == b"PGDMP"
    verify(made, told, said)
    listed = [json.loads(line) for line in made.files.read_text().splitlines()]
    assert {entry["path"] for entry in listed} == _FILES


def test_nobody_else_can_read_it(back_up: Take, place: Path) -> None:
    back_up()
    open_to_others = [path for path in (place, *place.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_the_next_one_links_what_has_not_changed(back_up: Take, store: Path) -> None:
    first = back_up()
    (store / "1/run/plot.png").write_text("another")
    (store / "1/run/new").write_text("new")
    (store / "2/run/größe & <b>.txt").unlink()
    second = back_up()
    assert contents(second.artifacts) == contents(store)
    one, other = (made.artifacts / "1/run/model/MLmodel" for made in (first, second))
    assert one.samefile(other)
    assert (first.artifacts / "1/run/plot.png").read_text() == "content of 1/run/plot.png"
    assert (first.artifacts / "2/run/größe & <b>.txt").exists()
    # What is linked takes no room, and none is asked for.
    assert manifest.read(second).files_count == 3


def test_files_are_found_in_the_one_before_whatever_their_names(back_up: Take, store: Path) -> None:
    for name in (
        "1.txt",
        "1-a/x",
        "10/x",
        "1/run.txt",
        "1/run-a/x",
        "Ä",
        "a b",
        "\U0001f600",
        "\uffff",
    ):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_text(name)
    first, second = back_up(), back_up()
    files = list(contents(store))
    assert len(files) == 12
    for name in files:
        assert (first.artifacts / name).samefile(second.artifacts / name)


def test_the_same_size_and_time_do_not_hide_a_change(back_up: Take, store: Path) -> None:
    path = store / "1/run/plot.png"
    back_up()
    before = path.stat()
    path.write_text(path.read_text()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = back_up()
    assert contents(second.artifacts) == contents(store)


def test_a_damaged_list_of_the_one_before_is_not_believed(back_up: Take, store: Path) -> None:
    first = back_up()
    first.files.write_text(first.files.read_text().replace("plot", "plat"))
    second = back_up()
    path = "1/run/model/MLmodel"
    assert not (second.artifacts / path).samefile(first.artifacts / path)
    assert contents(second.artifacts) == contents(store)


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"before" * copying.PIECE)
    changes = iter([b"after", b"once more"])

    def moved(count: int) -> None:
        for content in changes:
            source.write_bytes(content)
            return

    entry = copying.copy(source, target, "source", moved)
    assert entry is not None
    assert target.read_bytes() == source.read_bytes() == b"once more"
    assert (entry.sha256, entry.size) == copying.digest(target, lambda count: None)


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(50 * copying.PIECE)
    tracemalloc.start()
    copying.copy(source, tmp_path / "target", "source", lambda count: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * copying.PIECE


def test_what_never_rests_is_copied_and_told(
    back_up: Take, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = store / "1/run/plot.png"
    real = os.utime

    def utime(path: Path, *, ns: tuple[int, int]) -> None:
        """Called between a copy and the look at whether the file has changed."""
        if path.name == busy.name:
            busy.write_text(busy.read_text() + "more")
        real(path, ns=ns)

    monkeypatch.setattr(os, "utime", utime)
    told = manifest.read(back_up())
    assert told.notes == ["'1/run/plot.png' changed each time that it was copied"]


def test_what_is_deleted_meanwhile_is_told(back_up: Take, store: Path, said: Lines) -> None:
    said.at("the database is dumped", lambda: shutil.rmtree(store / "1"))
    made = back_up()
    assert manifest.read(made).notes == ["2 files of the store were deleted meanwhile"]
    assert list(contents(made.artifacts)) == ["2/run/größe & <b>.txt"]


def test_what_comes_after_the_databases_moment_is_copied_too(
    back_up: Take, store: Path, said: Lines
) -> None:
    said.at("the database is dumped", lambda: (store / "1/run/late").write_text("late"))
    assert contents(back_up().artifacts) == contents(store)


def test_models_whose_files_are_not_there_are_named(back_up: Take, store: Path) -> None:
    """Of a snapshot's rows: the backup sees what is committed, and the test's own rows are not."""
    made = back_up()
    gathering = Gathering(made, None, lambda line: None)
    rows = [
        ("version 1 of kept", "mlflow-artifacts:/1/run/model"),
        ("version 2 of lost", "mlflow-artifacts:/1/other/model"),
        ("version 3 of elsewhere", "s3://bucket/model"),
        ("version 4 of a run", "runs:/0123/model"),
    ]
    assert gathering.missing(store, rows) == ["version 2 of lost: mlflow-artifacts:/1/other/model"]


@pytest.mark.django_db(transaction=True)
def test_models_are_those_of_the_database(back_up: Take) -> None:
    make_version("lost")
    make_version("elsewhere", source="s3://bucket/model")
    assert manifest.read(back_up()).missing == [
        "version 1 of lost: mlflow-artifacts:/models/lost-1"
    ]


def test_only_files_and_links_inside_are_taken(back_up: Take, store: Path) -> None:
    (store / "1/link").symlink_to("run/plot.png")
    (store / "1/folder").symlink_to(store / "2/run")
    (store / "1/out").symlink_to("/etc/passwd")
    (store / "1/broken").symlink_to("nowhere")
    (store / "1/circle").symlink_to("circle")
    os.mkfifo(store / "1/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(store)  # the path of a socket must be short
        try:
            listener.bind("1/socket")
        finally:
            os.chdir(here)
        (store / os.fsdecode(b"1/latin-\xff")).write_text("x")
        made = back_up()
    listed = [json.loads(line) for line in made.files.read_text().splitlines()]
    assert {entry["path"]: entry["link"] for entry in listed if "link" in entry} == {
        "1/link": "run/plot.png",
        "1/folder": "../2/run",
    }
    assert os.fsdecode(b"1/latin-\xff") in {entry["path"] for entry in listed}
    assert sorted(manifest.read(made).notes) == [
        "'1/broken' is not copied: a link that leads out of the store, or nowhere",
        "'1/circle' is not copied: a link that leads out of the store, or nowhere",
        "'1/out' is not copied: a link that leads out of the store, or nowhere",
        "'1/pipe' is not copied: neither a file nor a folder",
        "'1/socket' is not copied: neither a file nor a folder",
    ]


def test_a_disk_that_gets_full_is_told_and_nothing_is_left(
    back_up: Take, place: Path, store: Path, make_disk: Callable[[str], Path]
) -> None:
    """Full of names, so that the look at its room beforehand finds enough."""
    place.symlink_to(make_disk("64m,nr_inodes=12"))
    with pytest.raises(
        BackupFailed, match=r"No space left on device: .*/backups\. Nothing of this"
    ):
        back_up()
    assert left(place) == []


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    back_up: Take, place: Path, store: Path, make_disk: Callable[[str], Path]
) -> None:
    place.symlink_to(make_disk("8m"))
    (store / "large").write_bytes(bytes(9_000_000))
    with pytest.raises(BackupFailed, match=r"has 8 MB left, and about \d+ MB are needed"):
        back_up()
    assert left(place) == []


def test_a_place_inside_of_what_is_backed_up_is_refused(
    store: Path, settings: Settings, said: Lines
) -> None:
    for inside in (settings.HOME.root / "backups", store / "backups"):
        with pytest.raises(BackupFailed, match="write to another disk"):
            take(inside, database_only=False, say=said)
        assert not inside.exists()


def test_an_object_store_is_left_to_its_own_means(
    back_up: Take, settings: Settings, place: Path
) -> None:
    settings.ARTIFACTS = "s3://bucket/prefix"
    with pytest.raises(BackupFailed, match=r"s3://bucket/prefix.*versioning.*--database-only"):
        back_up()
    assert not place.exists()
    made = back_up(database_only=True)
    assert manifest.read(made).with_artifacts is False
    assert not made.artifacts.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("other", ["store", "key"])
def test_what_does_not_belong_to_the_database_is_refused(
    back_up: Take, settings: Settings, store: Path, place: Path, other: str
) -> None:
    """In a cron job that lacks Studio's settings, say, or where a shared path is not mounted."""
    hosts.settle(anew=True)
    made = back_up()
    if other == "store":
        (store / STORE_ID).unlink()
    else:
        settings.SECRET_KEY = "another key"
    with pytest.raises(
        BackupFailed, match=r"does not belong together: STUDIO_.*that Studio runs with"
    ):
        back_up()
    assert left(place) == [made.root.name]


def test_two_at_once_are_refused(back_up: Take, place: Path) -> None:
    place.mkdir()
    with (place / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupFailed, match="Another backup is being written to"):
            back_up()
    assert left(place) == []


def test_the_next_one_removes_what_a_killed_one_has_left(back_up: Take, place: Path) -> None:
    (place / "unfinished-2026-01-01T000000Z/artifacts").mkdir(parents=True)
    made = back_up()
    assert left(place) == [made.root.name]


def test_the_newest_are_kept(back_up: Take, place: Path, store: Path) -> None:
    names = [back_up().root.name for _ in range(3)]
    half = place / "2020-01-01T000000Z"
    half.mkdir()
    assert [gone.root.name for gone in folder.keep(place, 2)] == names[:1]
    assert left(place) == [half.name, *names[1:]]  # what is no backup is nobody's to remove
    newest = folder.find(place)
    assert newest.root.name == names[-1]
    assert contents(newest.artifacts) == contents(store)
