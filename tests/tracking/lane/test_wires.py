"""The lane's connections: durable, made once, and found anew when PostgreSQL has closed them."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from studio.accounts.models import User
from studio.lane import wires
from studio.lane.answers import Answer
from tests.support.lane import Wire, ask, end_sessions
from tests.support.processes import until
from tests.support.rows import make_experiment, make_run

AtOnce = Callable[..., list[Any]]


@pytest.fixture
def set_tag(alice: User) -> Callable[[], Answer]:
    run = make_run(make_experiment())
    return partial(ask, alice.pk, "set-tag", run_id=run.pk, key="k", value="v")


def sessions(wire: Wire) -> int:
    told = wire.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'studio-lane' AND datname = current_database()"
    )
    return int(told.fetchall()[0][0])


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_what_is_acknowledged_is_on_the_disk(name: str) -> None:
    assert wires.run(b"SELECT current_setting(%(name)s)", {"name": name}) == ("on",)


def test_many_first_requests_make_one_pool(
    set_tag: Callable[[], Answer], at_once: AtOnce, wire: Wire
) -> None:
    assert {told.status for told in at_once(*[set_tag] * 24)} == {200}
    assert sessions(wire) <= wires.pool(wires.WRITING).max_size


def none_left(wire: Wire) -> bool:
    """The pool may just have been opening one more."""
    end_sessions(wire)
    return sessions(wire) == 0


def test_sessions_that_were_ended_while_nobody_used_them_cost_no_request(
    set_tag: Callable[[], Answer], at_once: AtOnce, wire: Wire
) -> None:
    for _ in range(3):
        assert {told.status for told in at_once(*[set_tag] * 24)} == {200}
        assert sessions(wire) > 1
        until(lambda: none_left(wire), "all have ended")
    assert [set_tag().status for _ in range(10)] == [200] * 10


def test_a_process_with_many_descriptors_tells_a_closed_session_too(
    set_tag: Callable[[], Answer], wire: Wire
) -> None:
    """`select` can name the first 1,024 alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    taken = [open("/dev/null") for _ in range(1100)]  # noqa: SIM115, PTH123
    try:
        assert set_tag().status == 200
        end_sessions(wire)
        assert set_tag().status == 200
    finally:
        for one in taken:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
