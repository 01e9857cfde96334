"""Rows of endpoints and deployments: which moves there are, who holds the lease, what is told of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from endpoints import query
from endpoints.models import (
    STEPS,
    AttemptStep,
    Deployment,
    Endpoint,
    ReplicaState,
    State,
    Wanted,
    valid_name,
)
from studio.accounts.models import User
from studio.lib.errors import IllegalMove, StateConflict
from tests.support.serving import last_attempt, make_deployment, make_endpoint, make_replica

_MOVES = [(state, to) for state in State for to in State]


def test_each_state_leads_somewhere() -> None:
    assert set(Deployment.MOVES) == set(State)


def test_the_way_to_live_is_the_steps_in_their_order() -> None:
    way = [State.QUEUED, *STEPS, State.LIVE]
    for state, following in zip(way, way[1:], strict=False):
        assert Deployment.MOVES[state] & set(way) == {following}


def test_every_state_on_the_way_can_fail_and_end() -> None:
    for state in (State.QUEUED, *STEPS, State.LIVE):
        assert {State.FAILED, State.STOPPING} <= Deployment.MOVES[state]


@pytest.mark.parametrize(("state", "to"), _MOVES)
def test_a_move_happens_when_it_is_in_the_table_and_else_changes_nothing(
    alice: User, state: State, to: State
) -> None:
    deployment = make_deployment(alice, state=state)
    if to in Deployment.MOVES.get(state, ()):
        deployment.move(to, reason="because")
        assert (deployment.state, deployment.reason, deployment.changes) == (to, "because", 1)
    else:
        with pytest.raises(IllegalMove, match=f"from {state} to {to}"):
            deployment.move(to, reason="because")
    row = Deployment.objects.get(pk=deployment.pk)
    assert (row.state, row.reason, row.changes) == (
        deployment.state,
        deployment.reason,
        deployment.changes,
    )


def test_a_move_tells_when_it_happened(alice: User) -> None:
    deployment = make_deployment(alice, state_at=now() - timedelta(hours=1))
    deployment.move(State.RESOLVING)
    assert now() - deployment.state_at < timedelta(seconds=5)


def test_who_holds_an_old_copy_moves_nothing(alice: User) -> None:
    deployment = make_deployment(alice)
    old = Deployment.objects.get(pk=deployment.pk)
    deployment.move(State.RESOLVING)
    with pytest.raises(StateConflict, match="left queued meanwhile"):
        old.move(State.FAILED, reason="late")
    row = Deployment.objects.get(pk=deployment.pk)
    assert (row.state, row.reason, row.changes) == (State.RESOLVING, "", 1)


def test_a_deleted_row_is_not_moved(alice: User) -> None:
    deployment = make_deployment(alice)
    Deployment.objects.filter(pk=deployment.pk).delete()
    with pytest.raises(StateConflict):
        deployment.move(State.RESOLVING)


class TestLease:
    @pytest.fixture
    def pk(self, alice: User) -> int:
        return make_deployment(alice).pk

    def take(self, pk: int, holder: str, seconds: int = 60) -> bool:
        return Deployment.objects.take_lease(pk, holder, seconds)

    def holder(self, pk: int) -> str:
        return Deployment.objects.get(pk=pk).lease_holder

    def test_it_is_taken_by_one_and_refused_to_another(self, pk: int) -> None:
        assert self.take(pk, "one")
        assert not self.take(pk, "another")
        assert self.holder(pk) == "one"

    def test_its_holder_renews_it(self, pk: int) -> None:
        self.take(pk, "one", 1)
        assert self.take(pk, "one", 100)
        until = Deployment.objects.get(pk=pk).lease_until
        assert until is not None
        assert until > now() + timedelta(seconds=90)

    def test_one_that_ran_out_is_anybodys(self, pk: int) -> None:
        self.take(pk, "one")
        Deployment.objects.filter(pk=pk).update(lease_until=now() - timedelta(seconds=1))
        assert self.take(pk, "another")
        assert not self.take(pk, "one")

    def test_one_from_before_the_clock_was_set_back_is_anybodys(self, pk: int) -> None:
        self.take(pk, "dead")
        Deployment.objects.filter(pk=pk).update(lease_until=now() + timedelta(hours=1))
        assert Deployment.objects.unleased().filter(pk=pk).exists()
        assert self.take(pk, "another")
        assert not self.take(pk, "dead")

    def test_freed_it_is_anybodys(self, pk: int) -> None:
        self.take(pk, "one")
        Deployment.objects.free_lease(pk, "one")
        assert self.holder(pk) == ""
        assert self.take(pk, "another")

    def test_only_its_holder_frees_it(self, pk: int) -> None:
        self.take(pk, "one")
        Deployment.objects.free_lease(pk, "another")
        assert self.holder(pk) == "one"

    def test_a_lease_of_nothing_is_not_taken(self, db: None) -> None:
        assert not self.take(0, "one")


@pytest.mark.parametrize(
    ("fields", "replica", "unsettled"),
    [
        ({"state": State.QUEUED}, None, True),
        *[({"state": state}, None, True) for state in STEPS],
        ({"state": State.STOPPING}, None, True),
        ({"state": State.FAILED}, None, False),
        ({"state": State.FAILED, "wanted": Wanted.GONE}, None, True),
        ({"state": State.FAILED}, {"wanted": True}, True),
        ({"state": State.FAILED}, {"wanted": False}, False),
        ({"state": State.FAILED}, {"state": ReplicaState.GONE}, False),
        ({"state": State.LIVE}, {}, False),
        ({"state": State.LIVE}, {"state": ReplicaState.UNREADY}, False),
        ({"state": State.LIVE}, {"state": ReplicaState.GONE}, True),
        ({"state": State.LIVE, "wanted": Wanted.GONE}, {}, True),
        ({"state": State.LIVE, "replicas_wanted": 2}, {}, True),
        ({"state": State.LIVE}, {"wanted": False}, True),
        ({"state": State.LIVE}, {"outdated": True}, True),
        ({"state": State.LIVE, "wanted": Wanted.STOPPED}, {}, True),
        ({"state": State.BUILDING, "wanted": Wanted.STOPPED}, None, True),
        ({"state": State.STOPPING, "wanted": Wanted.STOPPED}, {"wanted": False}, True),
        ({"state": State.STOPPED, "wanted": Wanted.STOPPED}, None, False),
        ({"state": State.STOPPED, "wanted": Wanted.STOPPED}, {"wanted": False}, False),
        ({"state": State.STOPPED, "wanted": Wanted.STOPPED}, {"wanted": True}, True),
        ({"state": State.STOPPED, "wanted": Wanted.LIVE}, None, True),
        ({"state": State.STOPPED, "wanted": Wanted.GONE}, None, True),
        ({"state": State.FAILED, "wanted": Wanted.STOPPED}, None, True),
    ],
)
def test_what_the_sweep_picks_up(
    alice: User, fields: dict[str, Any], replica: dict[str, Any] | None, unsettled: bool
) -> None:
    deployment = make_deployment(alice, **fields)
    if replica is not None:
        make_replica(deployment, **replica)
    assert list(Deployment.objects.unsettled()) == ([deployment] if unsettled else [])


def test_the_sweep_counts_the_replicas_that_go_on(alice: User) -> None:
    deployment = make_deployment(alice, state=State.LIVE, replicas_wanted=2)
    make_replica(deployment)
    make_replica(deployment, wanted=False)
    assert list(Deployment.objects.unsettled()) == [deployment]
    make_replica(deployment, ReplicaState.UNREADY)
    assert not Deployment.objects.unsettled()
    make_replica(deployment)
    assert list(Deployment.objects.unsettled()) == [deployment]


def test_a_replica_counts_as_ready_until_it_is_asked_to_end(alice: User) -> None:
    deployment = make_deployment(alice, state=State.LIVE)
    make_replica(deployment, wanted=False)
    assert (deployment.ready_replicas, deployment.is_ready) == (0, False)
    make_replica(deployment, ReplicaState.UNREADY)
    make_replica(deployment)
    make_replica(deployment, outdated=True)
    assert (deployment.ready_replicas, deployment.is_ready) == (2, True)


LIVE = {"state": State.LIVE, "traffic": 100}
STOPPED = {"state": State.STOPPED, "wanted": Wanted.STOPPED}
READY, UNREADY = ReplicaState.READY, ReplicaState.UNREADY


@pytest.mark.parametrize(
    ("told", "deployments"),
    [
        ("empty", []),
        ("updating", [({"state": State.QUEUED}, None)]),
        ("updating", [({"state": State.FAILED}, None), ({"state": State.BUILDING}, None)]),
        ("updating", [({"state": State.LIVE, "wanted": Wanted.GONE}, READY)]),
        ("live", [(LIVE, READY)]),
        ("live", [(LIVE, READY), ({"state": State.FAILED}, None)]),
        ("live", [(LIVE, READY), ({"state": State.BUILDING}, None)]),
        ("live", [(LIVE, READY), ({"state": State.LIVE}, UNREADY)]),
        ("degraded", [(LIVE, UNREADY)]),
        ("degraded", [(LIVE, ReplicaState.GONE)]),
        ("degraded", [(LIVE | {"traffic": 50}, READY), (LIVE | {"traffic": 50}, UNREADY)]),
        ("degraded", [({"state": State.LIVE}, READY)]),
        ("degraded", [({"state": State.LIVE}, READY), ({"state": State.FAILED}, None)]),
        ("failed", [({"state": State.FAILED}, None)]),
        ("failed", [({"state": State.FAILED}, None), ({"state": State.FAILED}, None)]),
        (
            "failed",
            [({"state": State.FAILED}, None), (LIVE | {"wanted": Wanted.GONE}, READY)],
        ),
        ("live", [(LIVE | {"replicas_wanted": 3}, READY)]),
        ("live", [(LIVE, READY), (STOPPED, None)]),
        ("paused", [(STOPPED | {"traffic": 100}, None)]),
        ("paused", [(STOPPED, None), (STOPPED | {"traffic": 100}, None)]),
        ("paused", [(STOPPED, None), (LIVE | {"wanted": Wanted.GONE}, READY)]),
        ("updating", [(LIVE | {"wanted": Wanted.STOPPED}, READY)]),
        ("updating", [(STOPPED | {"state": State.STOPPING}, None), (STOPPED, None)]),
        ("updating", [({"state": State.BUILDING, "traffic": 100}, None), (STOPPED, None)]),
        ("degraded", [(LIVE | {"traffic": 60}, READY), (STOPPED | {"traffic": 40}, None)]),
        ("degraded", [(STOPPED | {"traffic": 100}, None), ({"state": State.LIVE}, READY)]),
        (
            "degraded",
            [
                (LIVE | {"traffic": 50}, READY),
                ({"state": State.QUEUED, "traffic": 50}, None),
            ],
        ),
        ("failed", [({"state": State.FAILED}, None), (STOPPED, None)]),
    ],
)
def test_the_state_of_an_endpoint_in_a_word(
    alice: User, told: str, deployments: list[tuple[dict[str, Any], ReplicaState | None]]
) -> None:
    endpoint = make_endpoint(alice)
    for number, (fields, replica) in enumerate(deployments):
        deployment = make_deployment(alice, endpoint, f"blue-{number}", **fields)
        if replica is not None:
            make_replica(deployment, replica)
    assert Endpoint.objects.get(pk=endpoint.pk).state == told
    assert query.with_deployments(Endpoint.objects.all()).get().state == told


@pytest.mark.parametrize(
    "name", ["abc", "a-b", "iris", "a" * 32, "m1-2-3", "a--b", "x" + "-" * 30 + "9"]
)
def test_names_that_are_taken(name: str) -> None:
    valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "ab",
        "a" * 33,
        "Iris",
        "1ris",
        "-ris",
        "iris-",
        "i_ris",
        "i ris",
        "ïris",
        "iris\n",
        "i/s",
    ]
    + ["iris\0", "..."],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="3 to 32 characters"):
        valid_name(name)


def test_the_rules_of_rows_are_the_databases_too(alice: User) -> None:
    deployment = make_deployment(alice)
    attempt = last_attempt(deployment)
    AttemptStep.objects.create(attempt=attempt, name=State.FETCHING)
    with pytest.raises(IntegrityError, match="deployment_traffic"), transaction.atomic():
        Deployment.objects.filter(pk=deployment.pk).update(traffic=101)
    for rule, field, value in [
        ("deployment_replicas", "replicas_wanted", 0),
        ("deployment_replicas", "replicas_wanted", 9),
        ("deployment_memory", "memory_mb", 63),
        ("deployment_memory", "memory_mb", 1_048_577),
    ]:
        with pytest.raises(IntegrityError, match=rule), transaction.atomic():
            Deployment.objects.filter(pk=deployment.pk).update(**{field: value})
    with pytest.raises(IntegrityError, match="attempt_step"), transaction.atomic():
        AttemptStep.objects.create(attempt=attempt, name=State.FETCHING)
    with pytest.raises(IntegrityError, match="attempt_number"), transaction.atomic():
        deployment.attempts.create(number=1)


@pytest.mark.parametrize(
    ("state", "wanted", "settled"),
    [
        (State.LIVE, Wanted.LIVE, True),
        (State.FAILED, Wanted.LIVE, True),
        (State.LIVE, Wanted.GONE, False),
        (State.FAILED, Wanted.GONE, False),
        (State.QUEUED, Wanted.LIVE, False),
        (State.TRYING, Wanted.LIVE, False),
        (State.STOPPED, Wanted.STOPPED, True),
        (State.STOPPED, Wanted.LIVE, False),
        (State.STOPPED, Wanted.GONE, False),
        (State.STOPPING, Wanted.STOPPED, False),
        (State.LIVE, Wanted.STOPPED, False),
        (State.FAILED, Wanted.STOPPED, False),
    ],
)
def test_a_page_asks_on_until_it_is_settled(
    alice: User, state: State, wanted: Wanted, settled: bool
) -> None:
    assert make_deployment(alice, state=state, wanted=wanted).is_settled is settled
