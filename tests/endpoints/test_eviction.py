"""Environments are kept below a size: who goes first, what counts, and what is never touched."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from django.conf import settings

from endpoints import environments, eviction, interpreters
from endpoints.models import Deployment, State, Wanted
from endpoints.requirements import Requirements
from studio.accounts.models import User
from studio.lib.home import Home
from tests.support.processes import until
from tests.support.serving import make_deployment

MB = 1_000_000
LONG_AGO = 100_000.0  # seconds


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Home:
    found = Home(tmp_path)
    monkeypatch.setattr(settings, "HOME", found)
    found.environments.mkdir()
    return found


def make(key: str, megabytes: float = 1, used: float = LONG_AGO) -> Path:
    """An environment of that size, last used that many seconds ago."""
    place = environments.folder(key)
    (place / "lib").mkdir(parents=True)
    (place / "lib" / "large.so").write_bytes(os.urandom(int(megabytes * MB)))
    return age(place, used)


def age(place: Path, used: float) -> Path:
    os.utime(place, (time.time() - used, time.time() - used))
    return place


def kept() -> set[str]:
    found = settings.HOME.environments.iterdir()
    return {path.name for path in found if path.is_dir()}


class TestWhoGoes:
    def test_the_one_that_was_used_longest_ago_and_no_more_than_needed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        make("older", used=LONG_AGO + 2)
        make("oldest", used=LONG_AGO + 3)
        make("newest", used=LONG_AGO + 1)
        with caplog.at_level(logging.INFO, "endpoints.eviction"):
            assert eviction.tidy(int(1.5 * MB)) == ["oldest", "older"]
        assert kept() == {"newest"}
        assert "evicted environment=oldest freed_mb=1" in caplog.text

    def test_nobody_while_they_are_below_the_limit(self) -> None:
        make("one")
        make("two")
        assert eviction.tidy(3 * MB) == []
        assert kept() == {"one", "two"}

    def test_the_limit_is_a_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make("one")
        monkeypatch.setattr(settings, "ENVIRONMENTS_BYTES", MB // 2)
        assert eviction.tidy() == ["one"]

    @pytest.mark.parametrize("state", [State.LIVE, State.STOPPED, State.FAILED, State.STARTING])
    def test_never_one_of_a_deployment_whatever_its_state(
        self, alice: User, state: State, caplog: pytest.LogCaptureFixture
    ) -> None:
        make("needed")
        make_deployment(alice, state=state, wanted=Wanted.STOPPED, environment="needed")
        assert eviction.tidy(0) == []
        assert kept() == {"needed"}
        assert "all are in use" in caplog.text

    def test_one_of_a_deployment_that_was_deleted_counts_from_then(self, alice: User) -> None:
        make("used")
        make("never used", used=LONG_AGO / 2)
        deployment = make_deployment(alice, environment="used")
        eviction.tidy(3 * MB)
        Deployment.objects.filter(pk=deployment.pk).delete()
        assert eviction.tidy(MB // 2, at_once=True) == ["never used"]  # the other was used just now
        age(environments.folder("used"), LONG_AGO)
        assert eviction.tidy(MB // 2, at_once=True) == ["used"]

    def test_never_one_that_a_process_runs_in(self) -> None:
        place = make("running")
        (place / "bin").mkdir()
        (place / "bin" / "python").symlink_to(sys.executable)
        age(place, LONG_AGO)
        command = [str(place / "bin" / "python"), "-S", "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            until(lambda: str(place).encode() in cmdline(process.pid), "it runs")
            assert eviction.tidy(0) == []
            process.communicate(b"\n")
        assert eviction.tidy(0, at_once=True) == ["running"]

    def test_never_one_whose_libraries_a_process_has_loaded(self) -> None:
        place = make("loaded")
        code = "import mmap, sys; f = open(sys.stdin.readline().strip(), 'rb'); "
        code += "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print('mapped', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{place / 'lib' / 'large.so'}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "mapped\n"
            assert eviction.tidy(0) == []
            process.communicate("\n")
        assert eviction.tidy(0, at_once=True) == ["loaded"]


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class TestBuilds:
    """A build and an eviction at the same time."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        (tmp_path / "model").mkdir()
        return tmp_path / "model"

    def test_one_that_a_build_has_just_found_stays_before_its_row_says_so(
        self, model: Path
    ) -> None:
        make("found")
        make("other")
        _, python = interpreters.own()
        log: list[str] = []
        environments.build(Requirements((), ""), python, "found", model, log.append, Event())
        assert log == ["environment found is in the cache"]
        assert eviction.tidy(0) == ["other"]
        assert kept() == {"found"}

    def test_one_whose_lock_a_build_holds_stays(self) -> None:
        place = make("locked")
        with place.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert eviction.tidy(0) == []
        assert eviction.tidy(0, at_once=True) == ["locked"]

    def test_a_build_finds_it_whole_or_not_at_all(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While its files are being deleted its name is free already, and so is its lock."""
        place = make("leaving")
        seen: list[tuple[bool, bool]] = []
        remove = shutil.rmtree

        def watched(path: Path, *, ignore_errors: bool) -> None:
            with place.with_suffix(".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append((place.exists(), (path / "lib" / "large.so").exists()))
            remove(path, ignore_errors=ignore_errors)

        monkeypatch.setattr(shutil, "rmtree", watched)
        eviction.tidy(0)
        assert seen == [(False, True)]

    def test_what_was_left_half_built_or_half_deleted_is_swept(self) -> None:
        left = [make("one.0badcafe.new"), make("two.0badcafe.old")]
        built = make("three.0badcafe.new")
        with environments.folder("three").with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            eviction.tidy(10 * MB)
        assert not any(path.exists() for path in left)
        assert built.exists()


class TestSizes:
    def test_what_the_cache_holds_too_is_nearly_free(self, home: Home) -> None:
        place = make("linked")
        home.uv_cache.mkdir()
        os.link(place / "lib" / "large.so", home.uv_cache / "large.so")
        assert eviction.size_of([place]) == 0
        (home.uv_cache / "large.so").unlink()
        assert eviction.size_of([place]) >= MB

    def test_what_two_share_counts_once_and_is_freed_with_the_last(self) -> None:
        one, two = make("one", used=LONG_AGO + 1), make("two", megabytes=0.1)
        os.link(one / "lib" / "large.so", two / "lib" / "again.so")
        age(two, LONG_AGO)
        assert eviction.size_of([one]) == 0
        assert MB <= eviction.size_of([one, two]) < 1.3 * MB
        assert eviction.tidy(MB // 2) == ["one", "two"]

    def test_a_file_that_is_only_long_on_paper_counts_by_its_blocks(self) -> None:
        place = make("sparse", megabytes=0.001)
        with (place / "lib" / "sparse").open("wb") as file:
            file.truncate(100 * MB)
        assert eviction.size_of([place]) < MB

    def test_links_out_of_it_are_not_followed(self, tmp_path: Path) -> None:
        place = make("links", megabytes=0.001)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "large").write_bytes(os.urandom(MB))
        (place / "elsewhere").symlink_to(tmp_path / "elsewhere")
        assert eviction.size_of([place]) < MB // 2


class TestWhen:
    def test_sizes_are_looked_at_when_an_environment_has_come_or_an_hour_has_passed(
        self, home: Home
    ) -> None:
        make("one")
        eviction.tidy(10 * MB)
        assert eviction.tidy(0) == []
        make("two")
        assert set(eviction.tidy(0)) == {"one", "two"}
        make("three")
        eviction.tidy(10 * MB)
        assert eviction.tidy(0) == []
        age(home.environments / ".tidied", 3601)
        assert eviction.tidy(0) == ["three"]

    def test_two_at_once_are_one(self, home: Home) -> None:
        make("one")
        with (home.environments / ".tidied").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert eviction.tidy(0, at_once=True) == []
        assert eviction.tidy(0, at_once=True) == ["one"]

    def test_without_environments_there_is_nothing_to_do(self, home: Home) -> None:
        home.environments.rmdir()
        assert eviction.tidy(0) == []


class TestCache:
    @pytest.fixture
    def cache(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """Studio's own cache, with one package that nothing refers to any more."""
        monkeypatch.delenv("UV_CACHE_DIR")
        left = home.uv_cache / "archive-v0" / "left"
        left.mkdir(parents=True)
        (left / "large.so").write_bytes(os.urandom(MB))
        yield home.uv_cache

    def test_above_the_limit_what_nothing_refers_to_goes(
        self, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "endpoints.eviction"):
            eviction.tidy(MB // 2)
        assert not (cache / "archive-v0" / "left").exists()
        assert "pruned uv's cache held_mb=1 freed_mb=1" in caplog.text

    def test_below_it_all_stays(self, cache: Path) -> None:
        eviction.tidy(2 * MB)
        assert (cache / "archive-v0" / "left" / "large.so").exists()

    def test_a_cache_of_the_operators_is_not_touched(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_CACHE_DIR", str(cache))
        eviction.tidy(0)
        assert (cache / "archive-v0" / "left" / "large.so").exists()
