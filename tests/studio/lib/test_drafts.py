"""A file that is written is there whole or not at all, whatever ends meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.lib import drafts
from studio.lib.drafts import write_whole
from studio.lib.errors import Invalid, NotFound
from studio.lib.folders import LocalFolder
from tests.support.disks import may_mount, mounted
from tests.support.processes import until


class Broken(Exception):
    pass


def broken() -> Iterator[bytes]:
    yield b"half"
    raise Broken


@pytest.fixture(params=["unnamed", "named"])
def anyhow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the files without a name that Linux has, and on a disk that has none."""
    if request.param == "named":
        opened = os.open

        def without(path: Any, flags: int, *more: Any, **others: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return opened(path, flags, *more, **others)

        monkeypatch.setattr(os, "open", without)
    return str(request.param)


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_comes_whole_with_its_folders(anyhow: str, tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "file", iter([b"one ", b"", b"two" * 100_000]))
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"one " + b"two" * 100_000
    assert below(tmp_path) == ["a", "a/b", "a/b/file"]
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat()
    assert (tmp_path / "a" / "b" / "file").stat().st_mode == usual.st_mode


def test_while_it_comes_what_was_there_stays(anyhow: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")

    def pieces() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        assert (tmp_path / "file").read_bytes() == b"before"
        assert [entry.name for entry in LocalFolder(tmp_path).entries()] == ["file"]
        assert [entry.name for entry in LocalFolder(tmp_path).files()] == ["file"]

    write_whole(tmp_path / "file", pieces())
    assert (tmp_path / "file").read_bytes() == b"x" * 1_000_000
    write_whole(tmp_path / "file", [])
    assert (tmp_path / "file").read_bytes() == b""


def test_what_breaks_off_leaves_nothing_and_what_was_there(anyhow: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    for name in ("file", "new", "folder/deep/new"):
        with pytest.raises(Broken):
            write_whole(tmp_path / name, broken())
    assert below(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_a_full_disk_leaves_nothing(anyhow: str, tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("a disk of its own can be mounted by root with CAP_SYS_ADMIN only")
    with mounted(tmp_path, "1m"):
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "new" / "file", [b"x" * 600_000] * 3)
        assert below(tmp_path) == []
        write_whole(tmp_path / "file", [b"x" * 900_000])  # the room is free again


def test_who_is_killed_while_he_writes_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from studio.lib.drafts import write_whole\n"
        "def pieces():\n"
        "    yield b'x' * 1_000_000\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
        "write_whole(pathlib.Path(sys.argv[1]), pieces())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.kill()
    until(lambda: writer.poll() is not None, "its end")
    assert below(tmp_path) == []


def test_content_and_name_are_on_the_disk_before_it_is_told(
    anyhow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    synced = os.fsync

    def recorded(descriptor: int) -> None:
        what = Path(f"/proc/self/fd/{descriptor}").readlink()
        kind = what.name if what.is_dir() else "content"
        told.append((kind, (tmp_path / "new" / "file").exists()))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    write_whole(tmp_path / "new" / "file", [b"x"])
    assert told == [("content", False), (tmp_path.name, False), ("new", True)]


@pytest.mark.parametrize("path", ["folder", "file/below", "file/far/below", ""])
def test_a_file_takes_no_folder_s_place_and_a_folder_no_file_s(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(Invalid, match="there is a folder of this name, or a file in place"):
        LocalFolder(tmp_path).receive(path, broken())
    assert below(tmp_path) == ["file", "folder"]


def test_a_folder_that_comes_meanwhile_is_told_of(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        (tmp_path / "name").mkdir()

    with pytest.raises(Invalid):
        LocalFolder(tmp_path).receive("name", pieces())
    assert below(tmp_path) == ["name"]


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/x", "link/x", "link", "secret-link", "pipe", "x\0", "n" * 300, f"{'n' * 300}/x"]
)  # fmt: skip
def test_nothing_is_written_elsewhere(tmp_path: Path, path: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside)
    (root / "secret-link").symlink_to(outside / "secret")
    os.mkfifo(root / "pipe")
    before = below(tmp_path)
    with pytest.raises(NotFound, match="does not lie below"):
        LocalFolder(root).receive(path, broken())
    assert below(tmp_path) == before
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_link_that_stays_inside_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    LocalFolder(tmp_path).receive("link", [b"new"])
    assert (tmp_path / "file").read_bytes() == b"before"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"new"


def test_a_path_is_resolved_before_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    LocalFolder(tmp_path).receive("link/new/file", [b"x"])
    LocalFolder(tmp_path).receive("nowhere/../file", [b"x"])
    assert below(tmp_path) == ["file", "folder", "folder/new", "folder/new/file", "link"]


def test_drafts_are_named_as_mlflow_names_its_own() -> None:
    from mlflow.store.artifact import local_artifact_repo

    assert drafts.PREFIX == local_artifact_repo._TEMP_ARTIFACT_PREFIX
