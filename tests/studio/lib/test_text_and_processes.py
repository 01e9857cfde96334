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
