"""Environments are built by the real uv: from a package index of our own, and once from PyPI."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psutil
import pytest

from endpoints import environments, requirements
from endpoints.environments import BuildFailed, Cancelled
from tests.support.builds import PYTHON, Builder, installed, run
from tests.support.index import Index, wheel
from tests.support.processes import until


def uvs() -> list[psutil.Process]:
    """Those that this process has started and that are still there."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "uv":
                found.append(process)
    return found


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_a_package_of_pypi_is_installed_beside_the_server(model: Path) -> None:
    builder = Builder(model, "iniconfig==2.0.0")
    place = builder.build()
    assert run(place, "import iniconfig, uvicorn; print(iniconfig.__name__)") == "iniconfig"
    assert installed(place)["iniconfig"] == "2.0.0"
    assert "+ iniconfig==2.0.0" in builder.told()


class TestBuild:
    def test_what_is_asked_for_is_there_and_its_programs_run(
        self, pypi: Index, model: Path
    ) -> None:
        place = Builder(model, "tiny==1.0").build()
        assert installed(place) == {
            "tiny": "1.0",
            "uvicorn": "1.0",
            "httptools": "1.0",
            "uvloop": "1.0",
        }
        script = subprocess.run(
            [place / "bin" / "tiny"], capture_output=True, text=True, check=True
        )
        assert script.stdout == "1.0\n"

    def test_the_second_time_it_is_found(self, pypi: Index, model: Path) -> None:
        builder = Builder(model, "tiny")
        place = builder.build()
        asked, builder.log = len(pypi.asked), []
        assert builder.build() == place
        assert builder.log == [f"environment {builder.key} is in the cache"]
        assert len(pypi.asked) == asked

    def test_constraints_bind(self, pypi: Index, model: Path) -> None:
        place = Builder(model, "tiny", constraints=("tiny<2",)).build()
        assert installed(place)["tiny"] == "1.0"

    def test_a_wheel_among_the_models_files_is_installed(self, pypi: Index, model: Path) -> None:
        name, content = wheel("own-3.0")
        (model / "wheels").mkdir()
        (model / "wheels" / name).write_bytes(content)
        assert installed(Builder(model, f"wheels/{name}").build())["own"] == "3.0"

    def test_a_package_among_the_models_files_is_installed_and_outlives_them(
        self, pypi: Index, model: Path
    ) -> None:
        name, content = wheel("own-3.0")
        package = model / "package"
        package.mkdir()
        (package / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (package / name).write_bytes(content)
        (package / "backend.py").write_text(
            "import pathlib, shutil\n"
            "def build_wheel(place, *_):\n"
            "    built = next(pathlib.Path().glob('*.whl'))\n"
            "    shutil.copy(built, place)\n"
            "    return built.name\n"
        )
        (model / "requirements.txt").write_text("mlflow @ ./package\n-e ./package\n")
        lines = requirements.read(model, "", "").lines
        place = Builder(model, *lines[1:]).build()
        shutil.rmtree(model)
        assert run(place, "import own; print(own.version)") == "3.0"

    def test_without_what_makes_it_faster_it_still_serves(self, pypi: Index, model: Path) -> None:
        del pypi.files["uvloop-1.0-py3-none-any.whl"]
        builder = Builder(model, "tiny")
        assert set(installed(builder.build())) == {"tiny", "uvicorn"}
        assert "trying again without httptools, uvloop" in builder.log

    def test_two_that_need_the_same_build_it_once(
        self, pypi: Index, model: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environments, "_TICK", 0.1)
        pypi.delay = 0.3
        one, two = Builder(model, "tiny"), Builder(model, "tiny")
        two.key = one.key
        places = [
            future.result(30) for future in [threads.submit(each.build) for each in (one, two)]
        ]
        assert places[0] == places[1]
        told = one.log + two.log
        assert sum("is not in the cache, building it" in line for line in told) == 1
        assert sum("is in the cache" in line for line in told) == 1
        assert any("another deployment is building the same" in line for line in told)
        assert one.left() == {one.key}

    def test_one_whose_interpreter_has_left_the_machine_is_built_again(
        self, pypi: Index, model: Path
    ) -> None:
        builder = Builder(model, "tiny")
        python = builder.build() / "bin" / "python"
        python.unlink()
        python.symlink_to("/nowhere/python")
        with pytest.raises(environments.Gone, match="a retry builds it again"):
            environments.python_of(builder.key)
        assert installed(builder.build())["tiny"] == "2.0"
        assert environments.python_of(builder.key) == python

    def test_the_requirements_are_not_left_in_it(self, pypi: Index, model: Path) -> None:
        """They may hold the login of an index, and other models read the environment."""
        place = Builder(model, "--extra-index-url " + pypi.url("s3cret@"), "tiny").build()
        assert {path.name for path in place.iterdir()} >= {"bin", "lib"}
        assert not list(place.glob("*.txt"))

    def test_others_may_read_it_whatever_studios_own_files_are(
        self, pypi: Index, model: Path
    ) -> None:
        previous = os.umask(0o077)
        try:
            place = Builder(model, "tiny").build()
        finally:
            os.umask(previous)
        closed = [path for path in place.rglob("*") if not path.lstat().st_mode & 0o004]
        assert {path.name for path in closed} <= {".lock"}
        assert place.stat().st_mode & 0o777 == 0o755

    def test_what_a_killed_worker_left_is_swept(self, pypi: Index, model: Path) -> None:
        builder = Builder(model, "tiny")
        left = environments.folder(f"{builder.key}.0badcafe.new")
        (left / "bin").mkdir(parents=True)
        builder.build()
        assert builder.left() == {builder.key}


class TestFailure:
    def test_a_requirement_that_does_not_exist_is_named(self, pypi: Index, model: Path) -> None:
        builder = Builder(model, "tiny", "no-such-thing==1.0")
        with pytest.raises(BuildFailed) as failed:
            builder.build()
        assert failed.value.message.startswith("The model's requirements could not be installed. ")
        assert "no-such-thing" in failed.value.message
        assert "\n" not in failed.value.message
        assert "no-such-thing" in failed.value.detail
        assert builder.left() == set()

    def test_the_reason_says_what_to_do_next_and_nothing_twice(
        self, pypi: Index, model: Path
    ) -> None:
        builder = Builder(model, "tiny", "no-such-thing==1.0")
        with pytest.raises(BuildFailed) as failed:
            builder.build()
        told = failed.value.message
        assert "installed. Because" in told
        assert "error:" not in told
        assert told.endswith(
            ". Correct them and log the model again; or try again, if the package index was out of reach."
        )
        # What makes it faster is not to blame: without it uv would say the same again.
        assert sum("No solution found" in line for line in builder.log) == 1
        assert not any("trying again" in line for line in builder.log)

    def test_requirements_that_contradict_each_other_are_named(
        self, pypi: Index, model: Path
    ) -> None:
        builder = Builder(model, "tiny==1.0", "tiny==2.0")
        with pytest.raises(BuildFailed, match=r"tiny==1\.0.*tiny==2\.0|tiny==2\.0.*tiny==1\.0"):
            builder.build()

    def test_a_line_that_is_no_requirement_is_named(self, pypi: Index, model: Path) -> None:
        with pytest.raises(BuildFailed, match="numpy=1.26"):
            Builder(model, "numpy=1.26").build()

    def test_an_index_that_is_away_is_told(
        self, pypi: Index, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
        with pytest.raises(BuildFailed, match="Failed to fetch.*Connection refused"):
            Builder(model, "tiny").build()

    def test_after_a_failure_it_can_be_built(self, pypi: Index, model: Path) -> None:
        builder = Builder(model, "late==1.0")
        with pytest.raises(BuildFailed):
            builder.build()
        name, content = wheel("late-1.0")
        pypi.files[name] = content
        assert installed(builder.build())["late"] == "1.0"


class TestWaiting:
    def test_whoever_watches_sees_something_new_every_two_seconds(
        self, pypi: Index, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert environments._TICK <= 2.0
        monkeypatch.setattr(environments, "_TICK", 0.1)
        pypi.delay = 0.6
        builder = Builder(model, "tiny")
        times: list[float] = []

        def say(line: str) -> None:
            times.append(time.monotonic())
            builder.log.append(line)

        environments.build(builder.wanted, PYTHON, builder.key, model, say, Event())
        assert sum(line.startswith("still at it, ") for line in builder.log) >= 3
        assert max(after - before for before, after in itertools.pairwise(times)) < 2.0

    def test_what_is_no_longer_wanted_stops_and_leaves_nothing(
        self, pypi: Index, model: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environments, "_TICK", 0.1)
        pypi.delay = 60
        builder = Builder(model, "tiny")
        future = threads.submit(builder.build)
        until(lambda: pypi.asked, "uv asks the index")
        assert uvs()
        builder.lost.set()
        with pytest.raises(Cancelled):
            future.result(5)
        until(lambda: not uvs(), "uv has ended", 5)
        assert builder.left() == set()

    def test_a_packages_own_build_ends_with_it(
        self, pypi: Index, model: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environments, "_TICK", 0.1)
        slow = model / "slow"
        slow.mkdir()
        (slow / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (slow / "backend.py").write_text(
            "import os, pathlib, time\n"
            f"pathlib.Path({str(model / 'pid')!r}).write_text(str(os.getpid()))\n"
            "time.sleep(60)\n"
        )
        builder = Builder(model, "./slow")
        future: Future[Path] = threads.submit(builder.build)
        until(lambda: (model / "pid").exists() and (model / "pid").read_text(), "it is being built")
        builder.lost.set()
        with pytest.raises(Cancelled):
            future.result(5)
        pid = int((model / "pid").read_text())
        until(lambda: not psutil.pid_exists(pid), "its build has ended", 5)
        assert builder.left() == set()

    def test_who_waits_for_another_stops_waiting_too(
        self, pypi: Index, model: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environments, "_TICK", 0.1)
        pypi.delay = 60
        first, second = Builder(model, "tiny"), Builder(model, "tiny")
        second.key = first.key
        futures = [threads.submit(first.build)]
        until(lambda: pypi.asked, "the first builds")
        futures.append(threads.submit(second.build))
        until(lambda: second.log, "the second waits")
        second.lost.set()
        with pytest.raises(Cancelled):
            futures[1].result(5)
        assert not futures[0].done()
        first.lost.set()
        with pytest.raises(Cancelled):
            futures[0].result(5)
