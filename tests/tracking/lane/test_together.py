"""Writers of one run at the same moment: nothing is lost, nothing acknowledged changes, and the latest is the latest."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connection

from studio.accounts.models import User
from studio.lane.answers import Answer
from tests.support.databases import url_of
from tests.support.lane import (
    Point,
    Wire,
    ask,
    blocked,
    deadlocks,
    make_model,
    named_in,
    pairs,
    points_in,
    versions_in,
)
from tests.support.processes import until
from tests.support.together import NAME, Outcome, Requests, write_together
from tracking.models import Experiment, LoggedModel, Run

AtOnce = Callable[..., list[Any]]
Log = Callable[..., Answer]


@pytest.fixture
def other() -> Iterator[Wire]:
    """A session of somebody else's, in a transaction of its own."""
    with psycopg.connect(url_of(str(connection.settings_dict["NAME"]))) as found:
        yield found


@pytest.fixture
def apart() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def run(make_experiment: Callable[..., Experiment], make_run: Callable[..., Run]) -> Run:
    return make_run(make_experiment(), name="first")


@pytest.fixture
def model(run: Run) -> LoggedModel:
    return make_model("m-1", run)


@pytest.fixture
def log(alice: User, run: Run) -> Log:
    """Ask a route of the lane about the run, as an administrator."""
    return partial(ask, alice.pk, run_id=run.pk)


def test_writers_of_the_same_keys_never_deadlock_and_lose_nothing(
    alice: User, run: Run, wire: Wire
) -> None:
    def send(route: str, body: dict[str, Any]) -> tuple[int, str]:
        told = ask(alice.pk, route, **body)
        return told.status, told.body.decode()

    before = deadlocks(wire)
    told = write_together(
        lambda: nullcontext(send), [Requests(run.pk, writer, 6) for writer in range(16)], 40
    )
    Outcome(told, wire, run.pk).check()
    assert deadlocks(wire) == before


_VALUES = (math.nan, 0.0, 1.0, -1.0, math.inf)


def test_whoever_comes_last_the_latest_is_that_of_step_then_time_then_value(
    log: Log, wire: Wire, run: Run, at_once: AtOnce
) -> None:
    """Not by hypothesis: it watches the one source of randomness, which threads draw from as well."""
    for seed in range(100):
        chosen, key = random.Random(seed), f"k{seed}"  # noqa: S311
        batches = [
            [
                Point.of(key, chosen.choice(_VALUES), chosen.randrange(3), chosen.randrange(-1, 2))
                for _ in range(chosen.randint(1, 5))
            ]
            for _ in range(chosen.randint(2, 5))
        ]
        writers = [partial(log, "log-batch", metrics=[p.sent for p in batch]) for batch in batches]
        assert [told.status for told in at_once(*writers)] == [200] * len(writers)
        [latest] = [p for p in points_in(wire, run.pk, "latest_metrics") if p.key == key]
        everything = [point for batch in batches for point in batch]
        assert latest[1:4] == max(point[1:4] for point in everything), seed
        assert latest in everything, seed  # NaN is told from the 0 that it is stored as


def test_of_two_values_of_a_param_one_is_kept_and_the_other_refused(
    log: Log, wire: Wire, run: Run, at_once: AtOnce
) -> None:
    for number in range(20):
        key, metric = f"p{number}", Point.of(f"m{number}", 1.0, 1, 1).sent

        def batch(value: str) -> Answer:
            return log("log-batch", params=pairs({key: value}), metrics=[metric])  # noqa: B023

        told = at_once(partial(log, "log-parameter", key=key, value="one"), partial(batch, "two"))
        assert sorted(answer.status for answer in told) == [200, 400]
        alone, batched = (answer.status == 200 for answer in told)
        assert named_in(wire, run.pk, "params")[key] == ("one" if alone else "two")
        assert batched == any(p.key == metric["key"] for p in points_in(wire, run.pk))


def test_params_that_others_store_meanwhile_are_stored_however_often_they_are_first(
    log: Log, run: Run, wire: Wire, apart: ThreadPoolExecutor
) -> None:
    """Each time the lane waits for a param of somebody else's, the next in line has got hold of another one."""
    keys = list("abcdefghij")
    telling = None
    others = [psycopg.connect(wire.info.dsn, password=wire.info.password) for _ in keys]
    store = "INSERT INTO params (key, value, run_uuid) VALUES (%s, 'v', %s) ON CONFLICT DO NOTHING"
    try:
        others[-1].execute(store, [keys[-1], run.pk])
        telling = apart.submit(log, "log-batch", params=pairs(dict.fromkeys(keys, "v")))
        for place in range(len(keys) - 1, 0, -1):
            until(lambda: blocked(wire) or telling.done(), "the lane waits")  # noqa: B023
            next_one = apart.submit(others[place - 1].execute, store, [keys[place - 1], run.pk])
            others[place].commit()
            next_one.result(20)
        others[0].commit()
        assert telling.result(20).status == 200
    finally:
        for one in others:
            one.close()
    assert named_in(wire, run.pk, "params") == dict.fromkeys(keys, "v")


def test_of_two_values_of_a_model_s_metric_one_is_kept_and_the_other_refused(
    log: Log, wire: Wire, other: Wire, run: Run, model: LoggedModel, apart: ThreadPoolExecutor
) -> None:
    other.execute(
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,"
        " experiment_id, run_id) VALUES ('m-1', 'loss', 1, 1, 2, %s, %s)",
        [run.experiment_id, run.pk],
    )
    point = Point.of("loss", 1.0, 1, 1).sent | {"model_id": "m-1"}
    telling = apart.submit(log, "log-metric", **point)
    until(lambda: blocked(wire), "the lane waits")
    other.commit()
    told = telling.result(20)
    assert (told.status, b"would be another" in told.body) == (400, True)
    assert points_in(wire, run.pk) == []
    assert log("log-metric", **point | {"value": 2.0}).status == 200


def test_a_run_has_one_name_whoever_gives_it_at_the_same_moment(
    log: Log, wire: Wire, other: Wire, run: Run, apart: ThreadPoolExecutor
) -> None:
    held = "SELECT FROM tags WHERE run_uuid = %s AND key = %s FOR UPDATE"
    other.execute(held, [run.pk, NAME])
    telling = []
    for number, name in enumerate(["second", "first"], 1):
        telling.append(apart.submit(log, "set-tag", key=NAME, value=name))
        until(lambda: len(blocked(wire)) == number, "the lane waits")  # noqa: B023
    other.rollback()
    assert [told.result(20).status for told in telling] == [200, 200]
    run.refresh_from_db()
    assert named_in(wire, run.pk, "tags")[NAME] == run.name == "first"


def test_an_identical_request_changes_nothing_in_whatever_order_and_company_it_comes(
    log: Log, wire: Wire, run: Run, model: LoggedModel, at_once: AtOnce
) -> None:
    points = [
        Point.of(key, value, 1, step)
        for key in ("a", "b")
        for step in (0, 1)
        for value in (0.0, math.nan, 2.0, math.inf)
    ]
    of_model = Point.of("m", 1.0, 1, 1).sent | {
        "model_id": "m-1",
        "dataset_name": "d",
        "dataset_digest": "e",
    }
    params, tags = {"p": "1", "q": ""}, {NAME: "named", "t": "", "u": "v"}

    def batch(order: random.Random) -> Answer:
        return log(
            "log-batch",
            metrics=order.sample(metrics := [*(p.sent for p in points), of_model], len(metrics)),
            params=order.sample(pairs(params), len(params)),
            tags=order.sample(pairs(tags), len(tags)),
        )

    assert batch(random.Random(0)).status == 200  # noqa: S311
    before = versions_in(wire, run.pk)
    assert {table: len(rows) for table, rows in before.items()} == {
        "runs": 1,
        "metrics": 17,
        "latest_metrics": 3,
        "params": 2,
        "tags": 3,
        "logged_model_metrics": 1,
    }
    told = at_once(*(partial(batch, random.Random(seed)) for seed in range(8)))  # noqa: S311
    told += [
        log("log-metric", **points[0].sent),
        log("log-parameter", key="p", value="1"),
        log("set-tag", key=NAME, value="named"),
    ]
    assert {answer.status for answer in told} == {200}
    assert versions_in(wire, run.pk) == before


def test_what_was_refused_or_never_begun_on_a_deleted_run_is_not_there(
    log: Log, wire: Wire, other: Wire, run: Run, apart: ThreadPoolExecutor
) -> None:
    """A run that is deleted while a batch waits takes it, since that began before; and nothing that begins later."""
    delete = "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 1 WHERE run_uuid = %s"
    other.execute("SELECT FROM tags WHERE run_uuid = %s FOR UPDATE", [run.pk])
    early, late = Point.of("early", 1.0, 1, 1), Point.of("late", 1.0, 1, 1)
    named = pairs({NAME: "waits"})
    telling = apart.submit(log, "log-batch", metrics=[early.sent], tags=named)
    until(lambda: blocked(wire), "the lane waits")
    other.rollback()
    assert telling.result(20).status == 200
    other.execute(delete, [run.pk])
    other.commit()
    told = log("log-batch", metrics=[late.sent], tags=named)
    assert (told.status, b"must be in the 'active' state" in told.body) == (400, True)
    assert points_in(wire, run.pk) == [early]
