"""Well or not, and what to do: one line for each way it can be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils.timezone import now

from studio.health.broker import Broker, Queue
from studio.health.facts import NEEDED, Database, Deployments, Place, Running
from studio.health.verdict import BAD, WARN, Seen, troubles
from studio.health.versions import Revision, Schema

GB = 1_000_000_000
PARTS = dict.fromkeys(("web", "database", "redis", "reference", "gateway", "agent", "worker"), "ok")


def process(name: str, host: str = "one", *, alive: bool = True, version: str = "2.0") -> Running:
    seen = now() if alive else now() - timedelta(minutes=1)
    return Running(name, host, 7, alive, seen, seen, 1, 0, version)


def queue(length: int, oldest: float | None) -> Broker:
    return Broker((Queue("celery", length, oldest),), 0, "7", 1)


def place(free: int | None, name: str = "home") -> Place:
    return Place(name, "/srv/studio", None, None, free, 100 * GB)


WELL = Seen(
    PARTS,
    [process(name) for name in NEEDED],
    queue(0, None),
    Deployments({"live": 3}, 0, 0),
    Database(1, (), 20, 100),
    [place(50 * GB)],
    Schema((Revision("MLflow's tracking", "a", "a"),), ()),
    [],
    "2.0",
)


def told(**changed: object) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in troubles(replace(WELL, **changed))]  # type: ignore[arg-type]


def test_where_all_is_well_there_is_nothing_to_tell() -> None:
    assert troubles(WELL) == []


def test_a_part_that_does_not_answer_is_told_with_what_to_do() -> None:
    [one] = troubles(replace(WELL, parts=PARTS | {"redis": "not answering (TimeoutError)"}))
    assert (one.level, one.what) == (BAD, "Redis: not answering (TimeoutError).")
    assert "REDIS_URL" in one.do


def test_a_part_whose_process_runs_is_looked_for_in_the_log() -> None:
    [one] = troubles(replace(WELL, parts=PARTS | {"gateway": "has not read its routes yet"}))
    assert "log" in one.do


def test_a_beat_that_is_missing_is_told_though_no_part_is() -> None:
    without = [process(name) for name in NEEDED if name != "beat"]
    assert told(running=without) == [(BAD, "No beat process has been heard of for 15 s.")]


def test_one_of_several_that_has_died_is_a_warning() -> None:
    [one] = troubles(replace(WELL, running=[*WELL.running, process("worker", "two", alive=False)]))
    assert (one.level, "worker on two (pid 7)" in one.what) == (WARN, True)
    assert "manage.py run worker" in one.do


def test_a_host_with_another_version_is_told_once() -> None:
    others = [process(name, "two", version="1.9") for name in ("web", "worker")]
    assert told(running=[*WELL.running, *others]) == [
        (WARN, "two runs Studio 1.9, and this host 2.0.")
    ]


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({"broker": queue(9, 61)}, WARN, "9 tasks, the oldest for 61 s"),
        ({"deployments": Deployments({}, 2, 2)}, WARN, "2 deployments are with a worker"),
        ({"deployments": Deployments({}, 1, 1)}, WARN, "1 deployment is with a worker"),
        ({"database": Database(1, (), 86, 100)}, WARN, "86 of 100 connections"),
        ({"schema": Schema((), ("tracking.0009_x",))}, BAD, "tracking.0009_x"),
        ({"schema": Schema((Revision("MLflow's tracking", "a", "b"),), ())}, BAD, "MLflow's"),
        ({"places": [place(4 * GB)]}, WARN, "4.0 GB left"),
        ({"places": [place(GB // 2)]}, BAD, "0.5 GB left"),
        ({"warnings": ["Models run as root."]}, WARN, "Models run as root."),
    ],
)
def test_what_is_not_as_it_should_be_is_told(
    changed: dict[str, object], level: str, words: str
) -> None:
    [(found, what)] = told(**changed)
    assert (found, words in what) == (level, True), what


@pytest.mark.parametrize(
    "changed",
    [
        {"broker": queue(500, 3)},
        {"broker": queue(0, None)},
        {"database": Database(1, (), 80, 100)},
        {"places": [place(None), place(6 * GB), place(2 * GB, "environments")]},
    ],
)
def test_what_passes_by_itself_is_no_trouble(changed: dict[str, object]) -> None:
    assert told(**changed) == []


def test_the_worst_comes_first() -> None:
    found = told(places=[place(4 * GB), place(GB // 2)], warnings=["Models run as root."])
    assert [level for level, _ in found] == [BAD, WARN, WARN]
