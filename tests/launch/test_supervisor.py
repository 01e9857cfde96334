"""Processes are kept and ended with all that they have started, and nobody else's are."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from studio.launch import supervisor as supervisors
from studio.launch.log import Log
from studio.launch.programs import MARK, Program
from studio.launch.supervisor import Supervisor
from studio.launch.sweep import sweep
from studio.lib.processes import Identity
from tests.support.processes import until

# Starts a child that holds its output open, tells both pids, and ends when it is asked to.
LEADER = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
child = subprocess.Popen(["sleep", "600"], env=dict(os.environ, **eval(sys.argv[1])))
while not open(f"/proc/{child.pid}/environ").read():
    pass  # it is just becoming what it is to be
print("pids", os.getpid(), child.pid, flush=True)
while True:
    signal.pause()
"""


def leader(**of_child: str) -> list[str]:
    return [sys.executable, "-S", "-c", LEADER, repr(of_child)]


@pytest.fixture
def log() -> Log:
    return Log("text", StringIO())


@pytest.fixture
def supervisor(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisors, "_FIRST_PAUSE", 0.05)
    made = Supervisor(log, tmp_path / "processes.json")
    yield made
    made.ending.set()
    made.end({child.program.name for child in made.children}, 5)


def text(log: Log) -> str:
    assert isinstance(log.stream, StringIO)
    return log.stream.getvalue()


def pids(log: Log, number: int) -> tuple[int, int]:
    """What the `number`th leader and its child are called."""

    def told() -> tuple[int, int] | None:
        lines = [line.split()[-2:] for line in text(log).splitlines() if " pids " in line]
        return (int(lines[number][0]), int(lines[number][1])) if len(lines) > number else None

    return until(told, "it runs", 10)


def gone(pid: int) -> bool:
    return Identity.of(pid) is None


def all_gone(*pids: int) -> None:
    until(lambda: all(map(gone, pids)), f"{pids} have ended", 2)


class TestKeep:
    def test_one_that_dies_alone_is_started_again_and_what_it_has_left_is_ended(
        self, supervisor: Supervisor, log: Log
    ) -> None:
        supervisor.start(Program("one", leader))
        first, child = pids(log, 0)
        os.kill(first, signal.SIGKILL)
        second, _ = pids(log, 1)
        assert second != first
        all_gone(child)
        assert "ended with signal SIGKILL; starting it again in" in text(log)

    def test_the_output_of_one_that_left_its_group_is_not_waited_for(
        self, supervisor: Supervisor, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisors, "_LAST_WORDS", 0.1)
        away = 'setsid sleep 5 & echo "pids $$ $!"; exec sleep 600'
        supervisor.start(Program("one", lambda: ["sh", "-c", away]))
        first, child = pids(log, 0)
        os.kill(first, signal.SIGKILL)
        pids(log, 1)
        for number in (0, 1):
            os.kill(pids(log, number)[1], signal.SIGKILL)

    def test_the_last_that_it_prints_is_logged_before_its_death(
        self, supervisor: Supervisor, log: Log
    ) -> None:
        supervisor.start(Program("one", lambda: ["sh", "-c", "seq 8000; echo why; exit 7"]))
        until(lambda: "exit code 7" in text(log), "it has died", 10)
        told = [line.split(maxsplit=2)[2].split(";")[0] for line in text(log).splitlines()]
        assert told[7999:8002] == ["8000", "why", "ended with exit code 7"]

    def test_one_that_cannot_be_started_again_is_tried_until_it_can(
        self, supervisor: Supervisor, log: Log
    ) -> None:
        commands = [leader(), ["/no/such/program"], leader()]
        supervisor.start(Program("one", lambda: commands.pop(0)))
        os.kill(pids(log, 0)[0], signal.SIGKILL)
        pids(log, 1)
        assert "could not be started: " in text(log)

    def test_many_that_die_at_once_are_all_started_again(
        self, supervisor: Supervisor, log: Log
    ) -> None:
        for number in range(8):
            supervisor.start(Program(f"one-{number}", leader))
        first = [pids(log, number)[0] for number in range(8)]
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        pids(log, 15)
        until(lambda: _states(supervisor) == ["running"] * 8, "all run", 5)
        assert not set(first) & {one["pid"] for one in _record(supervisor)["processes"]}


class Full(StringIO):
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class TestFullDisk:
    """Nothing can be written, neither the log nor the record of what runs."""

    @pytest.fixture
    def log(self) -> Log:
        return Log("text", Full())

    def test_what_dies_is_started_again_and_written_down_once_there_is_room(
        self, supervisor: Supervisor, tmp_path: Path
    ) -> None:
        supervisor.record = tmp_path / "room" / "processes.json"
        supervisor.start(Program("one", lambda: ["sleep", "600"]))
        (child,) = supervisor.children
        assert child.process
        child.process.kill()
        until(lambda: child.restarts == 1 and child.state == "running", "it runs again", 10)
        supervisor.write_what_was_not_told()
        assert not supervisor.record.exists()
        supervisor.record.parent.mkdir()
        supervisor.write_what_was_not_told()
        assert json.loads(supervisor.record.read_text())["processes"][0]["restarts"] == 1


class TestEnd:
    def test_what_it_has_started_ends_with_it(self, supervisor: Supervisor, log: Log) -> None:
        supervisor.start(Program("one", leader))
        both = pids(log, 0)
        supervisor.ending.set()
        supervisor.end({"one"}, 5)
        all_gone(*both)
        assert _states(supervisor) == ["stopped"]

    def test_one_that_does_not_listen_is_killed_after_its_time(
        self, supervisor: Supervisor, log: Log
    ) -> None:
        supervisor.start(Program("one", leader, signal.SIGCONT))
        both = pids(log, 0)
        began = time.monotonic()
        supervisor.ending.set()
        supervisor.end({"one"}, 0.3)
        all_gone(*both)
        assert 0.3 <= time.monotonic() - began < 3

    def test_one_that_waits_for_its_next_start_is_not_waited_for(
        self, supervisor: Supervisor, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervisor.start(Program("one", leader))
        first, _ = pids(log, 0)
        supervisor.children[0].pause = 60
        os.kill(first, signal.SIGKILL)
        until(lambda: "starting it again in 60 s" in text(log), "it waits")
        began = time.monotonic()
        supervisor.ending.set()
        supervisor.end({"one"}, 5)
        assert time.monotonic() - began < 2


class TestSweep:
    @pytest.fixture
    def left(self, log: Log, tmp_path: Path) -> Iterator[Callable[..., tuple[int, int]]]:
        """Processes of an `up` that is no more, in its record: a leader and its child."""
        made: list[subprocess.Popen[str]] = []
        others: list[int] = []

        def leave(mark: str = "ours", told: str = "ours", child: str = "") -> tuple[int, int]:
            own = {MARK: child} if child else {}
            process = subprocess.Popen(
                leader(**own),
                stdout=subprocess.PIPE,
                text=True,
                env=dict(os.environ, **{MARK: mark}),
                start_new_session=True,
            )
            made.append(process)
            assert process.stdout is not None
            pid, other = map(int, process.stdout.readline().split()[1:])
            others.append(other)
            identity = Identity.of(pid)
            assert identity is not None
            process_told = {"name": "web", "pid": pid, "started": identity.started}
            (tmp_path / "processes.json").write_text(
                json.dumps({"mark": told, "processes": [process_told]})
            )
            return pid, other

        yield leave
        for pid in others:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
        for process in made:
            process.kill()
            process.communicate()

    def die(self, pid: int) -> None:
        """The leader alone, and nobody keeps its pid."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def test_a_leader_is_ended_with_its_group(
        self, left: Callable[..., tuple[int, int]], log: Log, tmp_path: Path
    ) -> None:
        both = left()
        sweep(tmp_path / "processes.json", log)
        all_gone(*both)
        assert f"ending web (pid {both[0]}), left behind by an earlier start" in text(log)
        assert not (tmp_path / "processes.json").exists()

    def test_what_a_leader_that_died_has_left_is_ended(
        self, left: Callable[..., tuple[int, int]], log: Log, tmp_path: Path
    ) -> None:
        pid, child = left()
        self.die(pid)
        assert not gone(child)
        sweep(tmp_path / "processes.json", log)
        all_gone(child)

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param({"mark": "theirs"}, id="of another Studio"),
            pytest.param({"mark": "", "told": ""}, id="of a record without a mark"),
            pytest.param({"child": "theirs"}, id="that is marked as another's"),
        ],
    )
    def test_a_group_under_the_same_number_that_is_not_ours_is_left_alone(
        self,
        left: Callable[..., tuple[int, int]],
        log: Log,
        tmp_path: Path,
        given: dict[str, Any],
    ) -> None:
        pid, child = left(**given)
        self.die(pid)
        sweep(tmp_path / "processes.json", log)
        assert not gone(child)
        assert text(log) == ""


def _record(supervisor: Supervisor) -> Any:
    return json.loads(supervisor.record.read_text())


def _states(supervisor: Supervisor) -> list[str]:
    return [one["state"] for one in _record(supervisor)["processes"]]
