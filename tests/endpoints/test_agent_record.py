"""The file of what runs on this host: kept by the agent, and enough to end it without one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.conf import settings

from endpoints.agent import record
from studio.lib.processes import Identity

MakeProcess = Callable[..., Identity]


@pytest.fixture
def make_process() -> Iterator[MakeProcess]:
    """Processes that lead a group each; `stubborn` ones do not end when asked to."""
    made: list[subprocess.Popen[str]] = []

    def make(stubborn: bool = False) -> Identity:
        ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if stubborn else ""
        code = f"import signal\n{ignore}\nprint('here', flush=True)\nsignal.pause()"
        command = [sys.executable, "-S", "-c", code]
        made.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        )
        output = made[-1].stdout
        assert output is not None
        assert output.readline() == "here\n"
        identity = Identity.of(made[-1].pid)
        assert identity is not None
        return identity

    yield make
    record.write([])
    for process in made:
        process.kill()
        process.communicate()


def test_what_is_noted_last_counts(make_process: MakeProcess) -> None:
    one, two = make_process(), make_process()
    record.write([one])
    record.write([one, two])
    assert record.read() == [one, two]
    record.write([two])
    assert record.read() == [two]


def test_where_nothing_is_noted_nothing_is_ended() -> None:
    record.end_all(0)
    assert record.read() == []
    record.end_all(0)


@pytest.mark.parametrize("left", ["", "[[1"])
def test_what_a_crash_has_left_unreadable_counts_as_nothing(left: str) -> None:
    record.write([])
    (settings.HOME.root / "replicas.json").write_text(left)
    assert record.read() == []


def test_all_are_asked_to_end_and_those_that_do_not_are_killed(make_process: MakeProcess) -> None:
    gentle, stubborn = make_process(), make_process(stubborn=True)
    record.write([gentle, stubborn])
    began = time.monotonic()
    record.end_all(0.3)
    assert time.monotonic() - began >= 0.3
    assert not gentle.alive()
    assert record.read() == []
    assert not _lives(stubborn)


def test_those_that_end_are_not_waited_for(make_process: MakeProcess) -> None:
    record.write([make_process(), make_process()])
    began = time.monotonic()
    record.end_all(20)
    assert time.monotonic() - began < 5


def test_another_process_under_the_same_pid_is_left_alone(make_process: MakeProcess) -> None:
    other = make_process()
    record.write([replace(other, started=other.started - 100)])
    record.end_all(0)
    assert other.alive()


def _lives(identity: Identity) -> bool:
    """A moment after it was killed."""
    deadline = time.monotonic() + 2
    while identity.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    return identity.alive()
