"""The agent has deployments looked at without waiting for the broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from endpoints import tasks
from endpoints.agent import telling
from endpoints.agent.agent import Agent
from endpoints.agent.telling import Teller
from endpoints.models import ReplicaState
from studio.accounts.models import User
from tests.support.processes import until
from tests.support.serving import make_deployment, make_replica


class Broker:
    """Takes what it is told, once it is awake."""

    def __init__(self) -> None:
        self.awake = threading.Event()
        self.asked: list[int] = []
        self.taken: list[int] = []
        self.fails_on: int | None = None

    def delay(self, deployment: int) -> None:
        self.asked.append(deployment)
        self.awake.wait(5)
        if deployment == self.fails_on:
            raise ConnectionError("away")
        self.taken.append(deployment)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    made = Broker()
    monkeypatch.setattr(tasks.reconcile, "delay", made.delay)
    yield made
    made.awake.set()
    until(telling.teller.settled, "the last test's words are told")


def test_a_broker_that_hangs_does_not_hold_up_the_agent(
    broker: Broker, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    replicas = [make_replica(make_deployment(alice)) for _ in range(3)]
    broker.asked.clear()
    with django_capture_on_commit_callbacks(execute=True):
        for replica in replicas:
            Agent._write(replica, state=ReplicaState.UNREADY)
    assert broker.taken == []
    broker.awake.set()
    until(telling.teller.settled, "all are told")
    assert broker.taken == [replica.deployment_id for replica in replicas]


def test_while_the_broker_hangs_a_deployment_waits_once(broker: Broker) -> None:
    teller = Teller()
    teller.tell(1)
    until(lambda: broker.asked, "the first is under way")
    for deployment in (2, 1, 2, 3, 1):
        teller.tell(deployment)
    assert not teller.settled()
    broker.awake.set()
    until(teller.settled, "all are told")
    assert broker.taken == [1, 2, 1, 3]


def test_what_the_broker_does_not_take_is_left_to_the_sweep(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.fails_on = 1
    broker.awake.set()
    teller = Teller()
    for deployment in (1, 2):
        teller.tell(deployment)
    until(teller.settled, "both were tried")
    assert broker.taken == [2]
    assert "deployment=1 waits for the sweep: away" in caplog.text
