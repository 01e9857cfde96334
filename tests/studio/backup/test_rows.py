"""What a restored database says of endpoints leads to where they come back by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils.timezone import now

from endpoints.decide import Action, next_action
from endpoints.lifecycle import observe
from endpoints.models import Agent, Deployment, Replica, ReplicaState, State, Wanted
from studio.accounts.models import User
from studio.backup.rows import put_right
from tests.support.serving import last_attempt, make_deployment, make_replica


@pytest.mark.parametrize(
    ("state", "wanted", "then", "action"),
    [
        (State.LIVE, Wanted.LIVE, State.QUEUED, Action.BEGIN),
        (State.BUILDING, Wanted.LIVE, State.QUEUED, Action.BEGIN),
        (State.TRYING, Wanted.LIVE, State.QUEUED, Action.BEGIN),
        (State.QUEUED, Wanted.LIVE, State.QUEUED, Action.BEGIN),
        (State.STOPPING, Wanted.LIVE, State.STOPPING, Action.REST),
        (State.STOPPED, Wanted.LIVE, State.STOPPED, Action.QUEUE),
        (State.FAILED, Wanted.LIVE, State.FAILED, None),
        (State.STOPPED, Wanted.STOPPED, State.STOPPED, None),
        (State.LIVE, Wanted.STOPPED, State.LIVE, Action.STOP),
        (State.STOPPING, Wanted.GONE, State.STOPPING, Action.REMOVE),
        (State.LIVE, Wanted.GONE, State.LIVE, Action.STOP),
    ],
)
def test_where_a_deployment_stands_and_what_comes_next(
    alice: User, state: State, wanted: Wanted, then: State, action: Action | None
) -> None:
    later = now() + timedelta(hours=1)
    deployment = make_deployment(
        alice, state=state, wanted=wanted, traffic=60, lease_holder="a", lease_until=later
    )
    make_replica(deployment, pid=1, pid_started=1.0, address="/elsewhere.sock")
    put_right()
    deployment = Deployment.objects.get()
    assert (deployment.state, deployment.wanted) == (then, wanted)
    assert (deployment.traffic, deployment.lease_holder) == (60, "")
    assert next_action(observe(deployment, last_attempt(deployment))) == action


def test_replicas_and_agents_of_elsewhere_are_gone(alice: User) -> None:
    deployment = make_deployment(alice, state=State.LIVE)
    make_replica(deployment, pid=1, pid_started=1.0, address="/elsewhere.sock", memory_bytes=1)
    Agent.objects.create(host="elsewhere", pid=1, seen_at=now())
    assert put_right() == 1
    replica = Replica.objects.get()
    assert (replica.state, replica.pid, replica.address) == (ReplicaState.GONE, None, "")
    assert "Restored from a backup" in replica.reason
    assert not Agent.objects.exists()


def test_a_deployment_that_is_brought_back_begins_a_new_attempt(alice: User) -> None:
    deployment = make_deployment(alice, state=State.BUILDING)
    last_attempt(deployment).steps.create(name=State.BUILDING)
    put_right()
    assert [attempt.number for attempt in deployment.attempts.all()] == [2, 1]
    assert not deployment.attempts.get(number=1).steps.filter(ended_at=None).exists()
    put_right()
    assert deployment.attempts.count() == 2


def test_everybody_signs_in_again(alice: User, as_alice: Client) -> None:
    assert as_alice.get("/").status_code == 200
    put_right()
    assert not Session.objects.exists()
    assert as_alice.get("/").status_code == 302
