"""A replica that does not stay up goes on being started, and its deployment, which stays live, says so."""

from __future__ import annotations

import signal

import pytest

from endpoints import logs
from endpoints.agent import restarts
from endpoints.agent.agent import Agent
from endpoints.models import Deployment, Replica, ReplicaState, State
from tests.support.agents import (
    MakeAgent,
    MakeOne,
    deployment_of,
    look_until,
    now_of,
    see,
    send,
    the_log,
)

pytestmark = pytest.mark.usefixtures("quick")


class TestCrashLoop:
    def end(self, agent: Agent, replica: Replica, times: int) -> None:
        for _ in range(times):
            before = see(agent, replica, ReplicaState.READY).restarts
            send(replica, signal.SIGKILL)
            look_until(agent, lambda n=before: now_of(replica).restarts > n, "it has ended")  # type: ignore[misc]

    def test_it_is_told_on_a_deployment_that_stays_live(
        self, agent: Agent, make_live: MakeOne
    ) -> None:
        replica = make_live()
        before = deployment_of(replica).changes
        self.end(agent, replica, 4)
        assert deployment_of(replica).reason == ""
        self.end(agent, replica, 1)
        told = deployment_of(replica)
        assert told.state == State.LIVE
        assert told.reason == (
            f"Replica {replica.pk} has ended 5 times in a row: it was ended by SIGKILL, perhaps for want of "
            "memory. It goes on being started, with pauses of up to 30 s."
        )
        assert "loading the stand-in" in told.detail
        assert told.changes > before
        assert the_log(replica).count(f"crash loop: {told.reason}") == 1
        self.end(agent, replica, 1)
        assert "has ended 6 times in a row" in deployment_of(replica).reason
        assert the_log(replica).count("crash loop: ") == 1

    def test_it_is_taken_back_once_it_stays_up(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_live()
        self.end(agent, replica, 5)
        see(agent, replica, ReplicaState.READY)
        agent.reconcile()
        before = deployment_of(replica)
        assert before.reason
        monkeypatch.setattr(restarts, "STEADY", 0)
        agent.reconcile()
        healed = deployment_of(replica)
        assert (healed.reason, healed.detail) == ("", "")
        assert healed.changes == before.changes + 1
        assert now_of(replica).restarts == 5

    def test_the_next_agent_takes_it_back_too(
        self, make_agent: MakeAgent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_live()
        restarts.tell_loop(now_of(replica), 7, "it ended.")
        assert deployment_of(replica).reason
        monkeypatch.setattr(restarts, "STEADY", 0)
        second = make_agent()
        second.adopt()
        look_until(second, lambda: deployment_of(replica).reason == "", "it is taken back")

    def test_another_reason_is_left_alone(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(restarts, "STEADY", 0)
        replica = make_live()
        Deployment.objects.update(reason="Something else.")
        for _ in range(3):
            agent.reconcile()
        assert deployment_of(replica).reason == "Something else."

    def test_after_it_was_steady_it_counts_from_the_beginning(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_live()
        self.end(agent, replica, 4)
        see(agent, replica, ReplicaState.READY)
        agent.reconcile()
        monkeypatch.setattr(restarts, "STEADY", 0)
        self.end(agent, replica, 1)
        assert the_log(replica).endswith("Starting it again in 0.01 s")
        assert now_of(replica).restarts == 5
        assert deployment_of(replica).reason == ""

    def test_what_it_printed_may_hold_any_byte(self, agent: Agent, make_live: MakeOne) -> None:
        replica = make_live()
        with logs.of_replica(replica).open("ab") as file:
            file.write(b"\0 and \xff\n")
        restarts.tell_loop(replica, restarts.LOOP, "it ended.")
        assert " and \ufffd" in deployment_of(replica).detail
