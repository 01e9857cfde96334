"""64 connections write shuffled keys of one run, which is meanwhile deleted and restored: none is failed by another."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.support.lane import deadlocks
from tests.support.live import Studio
from tests.support.together import (
    Outcome,
    Requests,
    Told,
    create_run,
    sender,
    write_together,
)

_CONNECTIONS = 64
_REQUESTS = 25  # of each


class Written(NamedTuple):
    outcome: Outcome
    deadlocks: int
    tried: Counter[int]  # by status, how often the run was deleted or restored


@contextmanager
def deleting(studio: Studio, token: str, run_id: str) -> Iterator[Counter[int]]:
    """Delete the run and restore it, again and again, by MLflow's server. At the end it is there."""
    stop, told = threading.Event(), Counter[int]()

    def go_on() -> None:
        with sender(studio, token) as send:
            for route in itertools.cycle(["delete", "restore"]):
                told[send(route, {"run_id": run_id})[0]] += 1
                if route == "restore" and stop.wait(0.8):
                    return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def wire(live: Studio) -> Iterator[psycopg.Connection[Any]]:
    url = json.loads(live.manage("status", "--json"))["database_url"]
    with psycopg.connect(url, autocommit=True) as found:
        yield found


@pytest.fixture(scope="module")
def written(live: Studio, token: str, wire: psycopg.Connection[Any]) -> Written:
    run_id = create_run(live, token)
    before = deadlocks(wire)
    writers = [Requests(run_id, number, 64) for number in range(_CONNECTIONS)]
    with deleting(live, token, run_id) as tried:
        told = write_together(lambda: sender(live, token), writers, _REQUESTS)
    return Written(Outcome(told, wire, run_id), deadlocks(wire) - before, tried)


def test_whoever_is_refused_is_refused_for_what_he_asks(written: Written) -> None:
    written.outcome.check_answers()
    assert written.tried.keys() == {200}
    by_route = Counter((one.route, one.status) for one in written.outcome.told)
    assert by_route["log-batch", 200] > 100
    assert {"log-metric", "log-parameter", "set-tag", "update"} <= {
        route for route, status in by_route if status == 400
    }, "some came while the run was deleted"


def test_every_point_is_there_once_and_the_latest_is_the_latest(written: Written) -> None:
    written.outcome.check_points()


def test_a_param_that_was_acknowledged_is_what_it_was(written: Written) -> None:
    written.outcome.check_params()
    assert any("Changing param values" in one.answer for one in written.outcome.told)


def test_tags_and_the_name_are_what_somebody_wrote_last(written: Written) -> None:
    written.outcome.check_tags()
    written.outcome.check_run()


def test_datasets_are_there_once(written: Written) -> None:
    written.outcome.check_inputs()


def test_postgresql_has_seen_no_deadlock(written: Written) -> None:
    assert written.deadlocks == 0


def test_web_finds_sessions_that_were_ended_again(
    live: Studio, token: str, written: Written, wire: psycopg.Connection[Any]
) -> None:
    told: list[Told] = []
    for number in range(2):
        deadlocks(wire)  # ends them
        writers = [Requests(written.outcome.run_id, 100 * number + 100, 1)]
        told += write_together(lambda: sender(live, token), writers, 20)
    assert {one.status for one in told} <= {200, 400, 404}
