"""The timetable's clock is set back by an hour, and its broker goes away."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from studio.beat import SteadyScheduler
from studio.launch.programs import services

_START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Machine:
    """Its clock, and a broker in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = _START
        self.app = Celery(broker="memory://", set_as_current=False)
        monkeypatch.setattr(self.app, "now", lambda: self.time)
        self.app.conf.beat_schedule = {
            name: {"task": name, "schedule": every, "options": {"queue": name}}
            for name, every in (("often", 5.0), ("seldom", 30.0))
        }
        self.scheduler = SteadyScheduler(self.app)

    def pass_time(self, seconds: float) -> None:
        """Let that long pass, with a tick each second."""
        for _ in range(int(seconds)):
            self.time += timedelta(seconds=1)
            self.scheduler.tick()

    def sent(self, name: str) -> int:
        return int(self.scheduler.schedule[name].total_run_count)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_is_the_one_that_studio_starts() -> None:
    [beat] = [program for program in services() if program.name == "beat"]
    [flag] = [word for word in beat.command() if word.startswith("--scheduler=")]
    module, _, name = flag.removeprefix("--scheduler=").partition(":")
    assert getattr(import_module(module), name) is SteadyScheduler


def test_each_task_is_sent_at_its_time(machine: Machine) -> None:
    machine.pass_time(61)
    assert (machine.sent("often"), machine.sent("seldom")) == (12, 2)


def test_a_clock_that_is_set_back_holds_nothing_up(machine: Machine) -> None:
    machine.pass_time(61)
    machine.time -= timedelta(hours=1)
    machine.pass_time(62)  # from the first tick, which sees it
    assert (machine.sent("often"), machine.sent("seldom")) == (24, 4)


def test_a_clock_that_is_set_forward_sends_each_once(machine: Machine) -> None:
    machine.pass_time(61)
    machine.time += timedelta(hours=1)
    machine.scheduler.tick()
    machine.scheduler.tick()
    machine.scheduler.tick()
    assert (machine.sent("often"), machine.sent("seldom")) == (13, 3)


def test_a_broker_that_is_away_is_told_in_a_line_and_tried_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise OperationalError("MISCONF Errors writing to the AOF file: No space left on device")

    monkeypatch.setattr(machine.app.amqp, "send_task_message", refuse)
    with caplog.at_level(logging.WARNING):
        machine.pass_time(11)
    told = [record for record in caplog.records if "often" in record.getMessage()]
    assert len(told) == 2
    assert all("No space left" in record.getMessage() for record in told)
    assert not any(record.exc_info for record in caplog.records)
