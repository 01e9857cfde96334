"""A file that a process adds to is kept short, and its readers keep their place."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from studio.lib import bounded

LONGEST = 1000
MANY = 10**6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.log"


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def numbered(first: int, last: int) -> str:
    """Lines of ten bytes."""
    return "".join(f"line {number:04}\n" for number in range(first, last))


def all_of(path: Path) -> str:
    return bounded.read(path, 0, MANY).data.decode()


def on_disk(path: Path) -> int:
    return sum(beside.stat().st_size for beside in path.parent.iterdir())


def in_a_child(work: Callable[[], object]) -> None:
    """Run `work` in a process that ends without another stroke, whatever it is doing."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_one_that_is_not_longer_is_left_alone(path: Path) -> None:
    assert not bounded.shorten(path, LONGEST)
    add(path, numbered(0, 100))
    assert not bounded.shorten(path, LONGEST)
    assert [beside.name for beside in path.parent.iterdir()] == ["some.log"]


def test_positions_go_on_and_nothing_is_lost_at_first(path: Path) -> None:
    add(path, numbered(0, 100))
    place = bounded.read(path, 0, MANY).end
    add(path, "x" * 10 + "\n")
    assert bounded.shorten(path, LONGEST)
    assert path.stat().st_size == 0
    add(path, numbered(100, 103))
    assert bounded.read(path, place, MANY).data.decode() == "x" * 10 + "\n" + numbered(100, 103)
    assert bounded.tail(path, 20).decode() == numbered(101, 103)
    assert bounded.tail(path, 40).decode() == "xxxxxxxxx\n" + numbered(100, 103)


def test_who_reads_in_pieces_goes_from_the_older_file_into_the_newer(path: Path) -> None:
    written = ""
    place, found = 0, ""
    for first in range(0, 400, 40):
        add(path, numbered(first, first + 40))
        written += numbered(first, first + 40)
        bounded.shorten(path, LONGEST)
        while piece := bounded.read(path, place, 70).data:
            place, found = place + len(piece), found + piece.decode()
    assert found == written


def test_what_is_dropped_is_counted(path: Path) -> None:
    for first in range(0, 1000, 110):
        add(path, numbered(first, first + 110))
        bounded.shorten(path, LONGEST)
    found = bounded.read(path, 50, MANY)
    assert found.at == found.start > LONGEST
    assert found.at % 10 == 0
    assert found.data.decode() == numbered(found.at // 10, 1100)
    assert on_disk(path) < 2 * LONGEST + 200


def test_of_one_that_grew_far_too_long_only_the_end_is_kept_from_a_line_on(path: Path) -> None:
    add(path, numbered(0, 5000) + "half a line")
    bounded.shorten(path, LONGEST)
    kept = all_of(path)
    assert kept == numbered(5000 - kept.count("\n"), 5000) + "half a line"
    assert LONGEST - 20 < len(kept) <= LONGEST
    assert bounded.read(path, 0, MANY).end == 50_011


def test_killed_after_the_emptying_no_reader_loses_his_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path, numbered(0, 101))
    monkeypatch.setattr(Path, "replace", lambda *_: os._exit(0))
    in_a_child(lambda: bounded.shorten(path, LONGEST))
    monkeypatch.undo()
    assert path.stat().st_size == 0
    assert bounded.read(path, 1000, MANY).data.decode() == numbered(100, 101)
    add(path, numbered(101, 103))
    assert bounded.read(path, 1010, MANY).data.decode() == numbered(101, 103)
    assert not bounded.shorten(path, LONGEST)  # puts it right
    assert all_of(path) == numbered(1, 103)
    assert {beside.name for beside in path.parent.iterdir()} == {"some.log", "some.log.older"}


def test_killed_while_copying_nothing_has_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path, numbered(0, 101))
    monkeypatch.setattr(os, "ftruncate", lambda *_: os._exit(0))
    in_a_child(lambda: bounded.shorten(path, LONGEST))
    monkeypatch.undo()
    add(path, numbered(101, 103))
    assert bounded.read(path, 1000, MANY).data.decode() == numbered(100, 103)
    assert bounded.shorten(path, LONGEST)
    assert bounded.read(path, 1000, MANY).data.decode() == numbered(100, 103)


def test_while_another_process_is_at_it_nothing_is_done(path: Path) -> None:
    add(path, numbered(0, 101))
    holding = f"import fcntl, time; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_EX); "
    holding += "print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert not bounded.shorten(path, LONGEST)
        other.kill()
    assert bounded.shorten(path, LONGEST)


def test_on_a_full_disk_it_stays_as_it_is(path: Path) -> None:
    add(path, numbered(0, 101))

    def without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        path.with_name("done").symlink_to(str(bounded.shorten(path, LONGEST)))

    in_a_child(without_room)
    assert str(path.with_name("done").readlink()) == "False"
    assert all_of(path) == numbered(0, 101)
    assert not path.with_name("some.log.draft").exists()


def test_a_file_that_grows_faster_than_it_is_copied_is_shortened_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it grows by a hole that takes no room, too: the copy would take it."""
    opened, growth = Path.open, 100 * LONGEST

    class Growing(io.FileIO):
        def read(self, size: int | None = -1) -> Any:
            nonlocal growth
            if growth > 0:
                growth -= LONGEST
                os.truncate(path, path.stat().st_size + LONGEST)
            return super().read(size)

    def growing(place: Path, mode: str = "r", **options: Any) -> Any:
        return Growing(place, mode) if mode == "r+b" else opened(place, mode, **options)

    add(path, numbered(0, 101))
    place = bounded.read(path, 0, MANY).end
    monkeypatch.setattr(Path, "open", growing)
    assert bounded.shorten(path, LONGEST)
    monkeypatch.undo()
    assert growth > 0
    assert on_disk(path) < 2 * LONGEST + 100
    assert bounded.read(path, 0, 800).data.decode() == numbered(1, 81)
    add(path, "on\n")
    assert bounded.tail(path, 3) == b"on\n"
    assert bounded.read(path, place, MANY).end > place


def test_a_process_writes_on_and_a_reader_follows(path: Path) -> None:
    """Lines may be lost while the file is emptied. None comes twice, and none out of order."""
    # Of 16 bytes, so that none lies across two pages of memory and is seen half written.
    writing = "import sys\nfor n in range(20000): sys.stdout.write(f'line {n:010}\\n')"
    with path.open("ab") as output:
        command = [sys.executable, "-u", "-c", writing]
        writer = subprocess.Popen(command, stdout=output, cwd=settings.BASE_DIR)
    place, found, times = 0, b"", 0
    while (running := writer.poll() is None) or bounded.read(path, place, 1).data:
        times += running and bounded.shorten(path, 10_000)
        piece = bounded.read(path, place, 4096)
        place, found = piece.at + len(piece.data), found + piece.data
    numbers = [int(line[5:]) for line in found.decode().splitlines()]
    assert times > 2
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19_999
