"""Folders that models write to: deleted however deep, with what still runs in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from endpoints.agent.spawning import end_strangers, fresh_folder, remove_folder, remove_left


def sleeper(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], cwd=folder, start_new_session=True)


def test_a_folder_is_deleted_however_deep(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    inner = os.open(place, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=inner)
        deeper = os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    remove_folder(place)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_deleted_is_deleted_later(tmp_path: Path) -> None:
    (tmp_path / "7.abc.left" / "more").mkdir(parents=True)
    (tmp_path / "8").mkdir()
    remove_left(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["8"]


def test_a_fresh_folder_is_empty_and_nobody_is_in_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "inner").mkdir(parents=True)
    processes = [sleeper(place), sleeper(place / "inner")]
    assert list(fresh_folder(place).iterdir()) == []
    assert [process.wait(10) for process in processes] == [-9, -9]


def test_those_who_are_known_and_those_elsewhere_go_on(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "place-2"
    place.mkdir()
    elsewhere.mkdir()
    known, other, stranger = sleeper(place), sleeper(elsewhere), sleeper(place)
    end_strangers(place, {known.pid})
    assert stranger.wait(10) == -9
    for process in (known, other):
        assert process.poll() is None
        process.kill()
        process.wait(10)
