"""A model server is asked for a sign of life without being waited for. The clock is the test's, the socket real."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoints.agent import pulse
from endpoints.agent.pulse import Pulse

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Server:
    """Answers when the test says so."""

    def __init__(self, path: Path) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()

    def asked(self) -> bool:
        return bool(select.select([self.listening], [], [], 0)[0])

    def answer(self, told: bytes = WELL) -> None:
        asking, _ = self.listening.accept()
        with asking:
            assert asking.recv(1000).startswith(b"GET /ping HTTP/1.1\r\n")
            asking.sendall(told)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "replica.sock")
    yield made
    made.listening.close()


@pytest.fixture
def one(tmp_path: Path, clock: Clock) -> Iterator[Pulse]:
    made = Pulse(str(tmp_path / "replica.sock"), os.getpid())
    yield made
    made.close()


def look(one: Pulse, clock: Clock, seconds: float = 0) -> None:
    clock.now += seconds
    one.look()


def test_asked_at_once_it_is_well_when_it_has_answered(
    one: Pulse, server: Server, clock: Clock
) -> None:
    one.look()
    assert not one.well
    server.answer()
    look(one, clock, 2)
    assert one.well
    assert not one.dull
    assert one.asking is None


def test_it_is_asked_again_after_a_while_and_not_before(
    one: Pulse, server: Server, clock: Clock
) -> None:
    one.look()
    server.answer()
    look(one, clock, pulse.EVERY / 2)
    assert not server.asked()
    look(one, clock, pulse.EVERY / 2)
    assert server.asked()


def test_while_it_does_not_answer_its_silence_grows(
    one: Pulse, server: Server, clock: Clock
) -> None:
    one.look()
    server.answer()
    look(one, clock, 3)
    assert one.silence == 0  # asked a second time
    for seconds in (1, 2, 3):
        look(one, clock, 1)
        assert one.silence == seconds
    assert one.dull
    assert not one.well
    server.answer()
    look(one, clock, 1)
    assert (one.silence, one.well) == (0, True)


def test_the_answer_ends_a_wait_for_it(one: Pulse, server: Server) -> None:
    one.look()
    assert one.asking is not None
    assert not select.select([one.asking], [], [], 0)[0]
    server.answer()
    assert select.select([one.asking], [], [], 5)[0]


def test_a_question_that_stays_unanswered_is_asked_anew(
    one: Pulse, server: Server, clock: Clock
) -> None:
    one.look()
    for _ in range(21):
        look(one, clock, 1)
    lost, _ = server.listening.accept()
    with lost:
        assert server.asked()
    server.answer()
    look(one, clock, 1)
    assert one.well


@pytest.mark.parametrize("told", [b"", b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b"220 smtp"])
def test_another_answer_is_none(one: Pulse, server: Server, clock: Clock, told: bytes) -> None:
    one.look()
    server.answer(told)
    look(one, clock, 1)
    assert (one.silence, one.well) == (1, False)
    look(one, clock, pulse.EVERY)
    server.answer()
    look(one, clock, 1)
    assert (one.silence, one.well) == (0, True)


def test_where_nobody_listens_there_is_no_answer(
    one: Pulse, server: Server, clock: Clock, tmp_path: Path
) -> None:
    server.listening.close()
    one.look()
    for _ in range(5):
        look(one, clock, 2)
    assert one.silence == 10
    (tmp_path / "replica.sock").unlink()
    look(one, clock, 5)
    assert one.silence == 15


def test_another_process_does_not_answer_for_it(
    server: Server, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "replica.sock")
    one = Pulse(str(tmp_path / "link"), os.getppid())
    one.look()
    asking, _ = server.listening.accept()
    with asking:
        assert asking.recv(1000) == b""
    look(one, clock, 1)
    assert (one.silence, one.well) == (1, False)


def test_where_too_many_wait_already_nobody_waits_either(
    one: Pulse, server: Server, clock: Clock, tmp_path: Path
) -> None:
    server.listening.listen(0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(tmp_path / "replica.sock"))
        one.look()
        look(one, clock, 1)
    assert one.silence == 1


def test_time_in_which_nobody_looked_is_not_held_against_it(
    one: Pulse, server: Server, clock: Clock
) -> None:
    """The agent itself was stopped, or the machine was."""
    one.look()
    look(one, clock, 3600)
    assert one.silence < pulse.SILENT
