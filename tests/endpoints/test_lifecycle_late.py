"""What comes late or in between: a worker that was away, a replica that ends, a person who thinks again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest
from django.utils.timezone import now

from endpoints import lifecycle, services, steps
from endpoints.decide import Action, Seen
from endpoints.lease import Lease, lease
from endpoints.lifecycle import DOING
from endpoints.models import Attempt, Deployment, Replica, ReplicaState, State, Wanted
from endpoints.steps import Done, Work
from studio.accounts.models import User
from studio.lib.errors import StateConflict
from tests.support.serving import (
    deploy,
    last_attempt,
    make_replica,
    play_engine,
    servable,
    settle,
)

READY, STARTING = ReplicaState.READY, ReplicaState.STARTING


def rows() -> list[object]:
    """All that a step may change."""
    replicas = Replica.objects.values("state", "wanted", "outdated")
    return [*replicas, *Deployment.objects.values("state", "changes", "traffic")]


@pytest.mark.parametrize(
    ("action", "state", "fields"),
    [
        (Action.BEGIN, State.QUEUED, {}),
        (Action.RESOLVE, State.RESOLVING, {}),
        (Action.START, State.STARTING, {}),
        (Action.START, State.LIVE, {"replicas_wanted": 2}),
        (Action.TRIM, State.LIVE, {}),
        (Action.RETIRE, State.LIVE, {}),
        (Action.RELEASE, State.FAILED, {}),
        (Action.STOP, State.LIVE, {"wanted": Wanted.STOPPED}),
        (Action.REST, State.STOPPING, {"wanted": Wanted.STOPPED}),
        (Action.QUEUE, State.STOPPED, {}),
        (Action.REMOVE, State.STOPPED, {"wanted": Wanted.GONE}),
    ],
)
def test_who_was_away_longer_than_the_lease_lasts_does_nothing_late(
    alice: User, action: Action, state: State, fields: dict[str, object]
) -> None:
    """A worker that was stopped and goes on: its decision is old, and another works on the row."""
    deployment = deploy(alice, servable())
    make_replica(deployment)
    make_replica(deployment, outdated=True)
    Deployment.objects.update(state=state, lease_holder="late", **fields)
    deployment.refresh_from_db()
    Deployment.objects.update(lease_holder="another", lease_until=now() + timedelta(minutes=1))
    before = rows()
    with pytest.raises(StateConflict):
        DOING[action](Work(deployment, last_attempt(deployment), Event()))
    assert rows() == before
    assert deployment.attempts.count() == 1


def test_who_was_away_since_it_took_the_lease_does_nothing_in_anothers_name(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(alice, servable())

    @contextmanager
    def late(pk: int) -> Iterator[Lease | None]:
        with lease(pk) as held:
            soon = now() + timedelta(minutes=1)
            Deployment.objects.update(lease_holder="another", lease_until=soon)
            yield held

    monkeypatch.setattr(lifecycle, "lease", late)
    assert not lifecycle.reconcile(deployment.pk)
    row = Deployment.objects.get()
    assert (row.state, row.lease_holder) == (State.QUEUED, "another")


def test_a_step_that_fails_when_the_lease_is_anothers_fails_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(alice, servable())

    def late(work: Work) -> Done:
        soon = now() + timedelta(minutes=1)
        Deployment.objects.update(lease_holder="another", lease_until=soon)
        raise RuntimeError("what it worked on was taken away")

    monkeypatch.setattr(steps, "resolve", late)
    lifecycle.reconcile(deployment.pk)
    lifecycle.reconcile(deployment.pk)
    row = Deployment.objects.get()
    assert (row.state, row.lease_holder, row.reason) == (State.RESOLVING, "another", "")


@pytest.mark.parametrize("asked", [services.stop_deployment, services.delete_deployment])
def test_what_is_no_longer_wanted_as_its_example_is_answered_does_not_get_live(
    alice: User, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., object]
) -> None:
    deployment = settle(deploy(alice, servable()))
    seen = []

    def answered(work: Work, address: str) -> Done:
        asked(deployment=deployment, by=alice)
        return Done("answered", {})

    monkeypatch.setattr(steps, "try_example", answered)
    play_engine(deployment, state=READY, started_at=now())
    while lifecycle.reconcile(deployment.pk):
        row = Deployment.objects.get()
        seen.append((row.state, row.traffic))
    way = [State.PROBING, State.TRYING, State.TRYING, State.STOPPING]
    assert seen == [(state, 0) for state in way]


def test_a_replica_that_ends_just_before_it_is_tried_fails_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = settle(deploy(alice, servable()))
    play_engine(deployment, state=READY, started_at=now())
    while Deployment.objects.get().state != State.TRYING:
        lifecycle.reconcile(deployment.pk)
    observe = lifecycle.observe

    def just_before(row: Deployment, attempt: Attempt) -> Seen:
        seen = observe(row, attempt)
        play_engine(deployment, state=STARTING)
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "observe", just_before)
        lifecycle.reconcile(deployment.pk)
    assert Deployment.objects.get().state == State.TRYING
    play_engine(deployment, state=READY)
    assert settle(deployment).state == State.LIVE
