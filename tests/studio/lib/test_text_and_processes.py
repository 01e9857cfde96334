"""JSON for people, and processes that are known for sure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

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


def test_a_process_is_known_by_its_start_too() -> None:
    with subprocess.Popen(SLEEPER) as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        assert identity.alive()
        assert not replace(identity, started=identity.started - 60).alive()
        process.kill()
    assert not identity.alive()
    assert Identity.of(process.pid) is None


def test_a_zombie_is_nobody() -> None:
    process = subprocess.Popen(SLEEPER)
    identity = Identity.of(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not collected
    assert Identity.of(process.pid) is None
    assert identity is not None
    assert not identity.alive()
    process.wait()


def test_a_group_is_ended_with_its_leader() -> None:
    program = "import subprocess, sys, signal; subprocess.Popen(sys.argv[1:]); print('ready', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *SLEEPER],
        start_new_session=True, stdout=subprocess.PIPE, text=True,
    ) as leader:  # fmt: skip
        assert leader.stdout is not None
        assert leader.stdout.readline() == "ready\n"
        identity = Identity.of(leader.pid)
        assert identity is not None
        identity.kill_group(signal.SIGKILL)
        assert leader.stdout.read() == ""  # its child held the pipe too
        assert leader.wait(10) == -signal.SIGKILL
    identity.kill_group(signal.SIGKILL)  # gone: nothing happens


def test_another_process_under_the_same_pid_is_left_alone() -> None:
    with subprocess.Popen(SLEEPER, start_new_session=True) as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        replace(identity, started=identity.started - 60).kill_group(signal.SIGKILL)
        assert process.poll() is None
        identity.kill_group(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
