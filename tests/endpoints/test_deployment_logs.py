"""Logs are read by offset while several processes write to them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from endpoints import logs
from studio.accounts.models import User
from tests.support.serving import last_attempt, make_deployment, make_replica


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "build.log"


def add(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


class TestRead:
    def test_a_log_that_is_not_there_is_empty(self, path: Path) -> None:
        assert logs.read(path) == logs.Page([], 0)
        assert logs.read(path, 999) == logs.Page([], 0)

    def test_who_passes_next_gets_what_is_new(self, path: Path) -> None:
        add(path, "one\ntwo\n")
        first = logs.read(path)
        assert first.lines == ["one", "two"]
        assert logs.read(path, first.next) == logs.Page([], first.next)
        add(path, "three\n")
        assert logs.read(path, first.next).lines == ["three"]

    def test_a_line_that_is_being_written_waits_until_it_is_whole(self, path: Path) -> None:
        add(path, "one\ntw")
        page = logs.read(path)
        assert (page.lines, page.next) == (["one"], 4)
        add(path, "o\n")
        assert logs.read(path, page.next).lines == ["two"]

    @pytest.mark.parametrize("after", [100, -1, 10**18])
    def test_an_offset_that_is_not_in_the_file_reads_from_its_beginning(
        self, path: Path, after: int
    ) -> None:
        add(path, "one\n")
        assert logs.read(path, after) == logs.Page(["one"], 4)

    def test_offsets_count_bytes_not_characters(self, path: Path) -> None:
        add(path, "größe\n")
        assert logs.read(path).next == 8
        add(path, "schön\n")
        assert logs.read(path, 8).lines == ["schön"]

    def test_bytes_that_are_no_text_do_not_hide_the_rest(self, path: Path) -> None:
        add(path, "")
        path.write_bytes(b"before\n\xff\xfe\nafter\n")
        assert logs.read(path).lines == ["before", "\ufffd\ufffd", "after"]

    def test_a_huge_log_comes_in_pages_that_miss_nothing(self, path: Path) -> None:
        lines = [f"line {number:06} {'x' * 50}" for number in range(20_000)]
        add(path, "\n".join(lines) + "\n")
        found, after, pages = [], 0, 0
        while (page := logs.read(path, after)).lines:
            assert page.next - after <= 256 * 1024
            assert page.more is (page.next < path.stat().st_size)
            found += page.lines
            after, pages = page.next, pages + 1
        assert found == lines
        assert pages == 5

    def test_a_line_longer_than_a_page_is_not_waited_for_for_ever(self, path: Path) -> None:
        add(path, "x" * 300_000 + "\nlast\n")
        page = logs.read(path)
        assert page.next == 256 * 1024
        assert logs.read(path, page.next).lines[-1] == "last"


class TestTail:
    def test_it_is_the_last_lines(self, path: Path) -> None:
        add(path, "one\ntwo\nthree\n")
        assert logs.tail(path, 2) == "two\nthree"
        assert logs.tail(path, 10) == "one\ntwo\nthree"

    def test_it_holds_a_line_that_was_not_finished(self, path: Path) -> None:
        add(path, "one\nkilled in the mid")
        assert logs.tail(path, 1) == "killed in the mid"

    def test_of_a_log_that_is_not_there_it_is_empty(self, path: Path) -> None:
        assert logs.tail(path, 5) == ""

    def test_of_a_huge_log_only_the_end_is_read(self, path: Path) -> None:
        add(path, "y" * 3_000_000 + "\nend\n")
        told = logs.tail(path, 2)
        assert told.endswith("\nend")
        assert len(told) <= 256 * 1024


class TestWrite:
    def test_a_line_has_its_time_before_it(self, path: Path) -> None:
        logs.write(path, "hello  \n")
        (line,) = logs.read(path).lines
        assert re.fullmatch(r"\d\d:\d\d:\d\d hello", line)

    def test_half_a_character_does_not_stop_it(self, path: Path) -> None:
        logs.write(path, "a file named \udcff")
        assert logs.read(path).lines[0].endswith("a file named ?")

    @pytest.mark.parametrize("size", [50, 20_000, 200_000])
    def test_lines_of_threads_are_not_torn(self, path: Path, size: int) -> None:
        def insist(letter: str) -> None:
            for _ in range(10):
                logs.write(path, letter * size)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(insist, "abcd"))
        lines = path.read_text().splitlines()
        assert len(lines) == 40
        assert all(re.fullmatch(r"[\d:]{8} (a+|b+|c+|d+)", line) for line in lines)
        assert {len(line) for line in lines} == {size + 9}

    def test_lines_of_processes_are_not_torn(self, path: Path) -> None:
        path.parent.mkdir()
        write = "import sys\nfrom pathlib import Path\nfrom endpoints import logs\n"
        write += "for _ in range(100): logs.write(Path(sys.argv[1]), sys.argv[2] * 20_000)"
        setup = f"import django; django.setup()\n{write}"
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", setup, str(path), letter], cwd=settings.BASE_DIR
            )
            for letter in "xyz"
        ]
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
        lines = path.read_text().splitlines()
        assert len(lines) == 300
        assert all(re.fullmatch(r"[\d:]{8} (x{20000}|y{20000}|z{20000})", line) for line in lines)


class TestFullDisk:
    @pytest.fixture
    def open_fails(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """Files cannot be opened to write any more, for this reason."""
        opened = Path.open

        def fail(number: int) -> None:
            def failing(path: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
                if mode == "ab" and path.suffix == ".log":
                    raise OSError(number, os.strerror(number))
                return opened(path, mode, *given, **named)

            monkeypatch.setattr(Path, "open", failing)

        return fail

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
    def test_lines_are_lost_and_nothing_fails(
        self, path: Path, open_fails: Callable[[int], None], number: int
    ) -> None:
        logs.write(path, "kept")
        open_fails(number)
        logs.write(path, "lost")
        with logs.for_output(path) as output:
            output.write(b"lost too")
            assert output.name == os.devnull
        assert [line[9:] for line in logs.read(path).lines] == ["kept"]

    def test_another_failure_is_told(self, path: Path, open_fails: Callable[[int], None]) -> None:
        open_fails(errno.EACCES)
        for work in (lambda: logs.write(path, "line"), lambda: logs.for_output(path)):
            with pytest.raises(PermissionError):
                work()


def test_a_build_may_say_what_it_likes_and_its_log_stays_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LONGEST", 10_000)
    for number in range(500):
        logs.write(path, f"line {number:03} {'x' * 200}")
    assert sum(beside.stat().st_size for beside in path.parent.iterdir()) < 21_000
    first, *lines = logs.read(path).lines
    assert re.fullmatch(r"\.\.\. [\d.,]+ (MB|bytes) of earlier lines were dropped", first)
    assert [line[9:17] for line in lines] == [f"line {n:03}" for n in range(500 - len(lines), 500)]
    assert logs.tail(path, 60).count("\n") == 59


def test_each_attempt_and_each_replica_has_its_own_and_all_go_together(alice: User) -> None:
    deployment = make_deployment(alice)
    first = logs.of_attempt(last_attempt(deployment))
    replicas = [logs.of_replica(make_replica(deployment)) for _ in range(2)]
    deployment.attempts.create(number=2)
    second = logs.of_attempt(last_attempt(deployment))
    paths = [first, second, *replicas]
    for number, path in enumerate(paths):
        logs.write(path, f"mine {number}")
    assert len(set(paths)) == 4
    assert [len(logs.read(path).lines) for path in paths] == [1, 1, 1, 1]
    logs.remove(deployment)
    assert not first.parent.exists()
    logs.remove(deployment)
