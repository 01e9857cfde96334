"""JSON for people, and processes that are known for sure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest

from studio.lib import processes
from studio.lib.processes import Identity
from studio.lib.text import readable_json

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        (5, "5"),
        (None, "null"),
        ("größe", '"gr\\u00f6\\u00dfe"'),
        ([1, 2], "[1, 2]"),
        ({"a": [1, "ü"]}, '{\n  "a": [1, "ü"]\n}'),
        ({"a": {"b": 1}, "c": {}}, '{\n  "a": {\n    "b": 1\n  },\n  "c": {}\n}'),
        ({"data": [[1, 2], [3, 4]]}, '{\n  "data": [\n    [1, 2],\n    [3, 4]\n  ]\n}'),
        ([{"x": 1}, {"x": 2}], '[\n  {"x": 1},\n  {"x": 2}\n]'),
    ],
)
def test_json_is_written_for_people(value: Any, text: str) -> None:
    assert readable_json(value) == text
    assert json.loads(text) == value


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a group of its own, ended with the block whatever happens in it."""
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def identity_of(process: subprocess.Popen[str]) -> Identity:
    identity = Identity.of(process.pid)
    assert identity is not None
    return identity


def test_a_process_is_known_by_its_start_too() -> None:
    with running(*SLEEPER) as process:
        identity = identity_of(process)
        assert identity.alive()
        assert not replace(identity, started=identity.started - 60).alive()
    assert not identity.alive()
    assert Identity.of(process.pid) is None


def test_a_clock_that_is_set_makes_nobody_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """To psutil, as to `ps`, a process was started an hour later once the clock is an hour ahead."""
    with running(*SLEEPER) as process:
        identity = identity_of(process)
        before = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda one: before(one) + 3600)
        assert identity.alive()


def test_what_ran_before_the_machine_was_booted_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(*SLEEPER) as process:
        identity = identity_of(process)
        monkeypatch.setattr(processes, "_boot", lambda: 1e12)
        assert not identity.alive()


def test_a_zombie_is_nobody() -> None:
    with running(*SLEEPER) as process:
        identity = identity_of(process)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not collected
        assert Identity.of(process.pid) is None
        assert not identity.alive()


def test_a_group_is_ended_with_its_leader() -> None:
    program = "import subprocess, sys, signal; subprocess.Popen(sys.argv[1:]); print('ready', flush=True); signal.pause()"
    with running(sys.executable, "-c", program, *SLEEPER) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == "ready\n"
        identity = identity_of(leader)
        identity.kill_group(signal.SIGKILL)
        assert leader.stdout.read() == ""  # its child held the pipe too
        assert leader.wait(10) == -signal.SIGKILL
    identity.kill_group(signal.SIGKILL)  # gone: nothing happens


def test_another_process_under_the_same_pid_is_left_alone() -> None:
    with running(*SLEEPER) as process:
        identity = identity_of(process)
        replace(identity, started=identity.started - 60).kill_group(signal.SIGKILL)
        identity.kill_group(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
