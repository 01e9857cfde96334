"""Agents of this host as tests have them: look by look, with real child processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from endpoints import logs
from endpoints.agent.agent import Agent
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.accounts.models import User
from studio.lib.processes import Identity
from tests.support.processes import until
from tests.support.serving import make_deployment, make_runnable

MakeAgent = Callable[[], Agent]
MakeOne = Callable[..., Replica]


@contextmanager
def making_agents() -> Iterator[MakeAgent]:
    """At the end their children end with them."""
    made: list[Agent] = []

    def make() -> Agent:
        made.append(Agent())
        return made[-1]

    yield make
    for agent in made:
        agent.end_all()
        for pk in list(agent.children):
            agent._forget(pk)
    wake = signal.set_wakeup_fd(-1)
    for descriptor in [*(agent.woken for agent in made), wake]:
        os.close(descriptor)


def make_one(
    by: User, behaviour: str = "serve", state: State = State.STARTING, **given: Any
) -> Replica:
    """A replica for an agent to run, of a deployment in this state; `given` are fields of the deployment."""
    deployment = make_deployment(by, state=state, **given)
    return make_runnable(deployment, behaviour)


def now_of(replica: Replica) -> Replica:
    return Replica.objects.get(pk=replica.pk)


def deployment_of(replica: Replica) -> Deployment:
    return Deployment.objects.get(pk=replica.deployment_id)


def see(agent: Agent, replica: Replica, state: ReplicaState) -> Replica:
    """Look until the replica is in this state."""

    def look() -> Replica | None:
        agent.reconcile()
        row = now_of(replica)
        return row if row.state == state else None

    return until(look, f"replica {state}", 15)


def look_until(agent: Agent, holds: Callable[[], Any], what: str) -> Any:
    def look() -> Any:
        agent.reconcile()
        return holds()

    return until(look, what, 15)


def send(replica: Replica, number: signal.Signals) -> None:
    pid = now_of(replica).pid
    assert pid is not None
    os.kill(pid, number)


def the_log(replica: Replica) -> str:
    return "\n".join(logs.read(logs.of_replica(replica)).lines)


def gone(pid: int | None) -> bool:
    assert pid is not None
    return Identity.of(pid) is None


def grandchild_of(replica: Replica) -> int:
    """The pid of what the stand-in has started."""
    return int((settings.HOME.models / str(replica.deployment_id) / "grandchild").read_text())
