"""The agent looks at the replicas that run: what they hold, whether they answer, whether they stay up."""

from __future__ import annotations

import re
import resource
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from endpoints import logs
from endpoints.agent import pulse, watching
from endpoints.agent.agent import Agent
from endpoints.gateway.routes import SQL, table_from
from endpoints.lifecycle import LOADING_PATIENCE
from endpoints.models import Deployment, Replica, ReplicaState, State
from tests.support import agents
from tests.support.agents import (
    MakeAgent,
    MakeOne,
    deployment_of,
    gone,
    look_until,
    now_of,
    see,
    send,
    the_log,
)
from tests.support.processes import until
from tests.support.serving import enqueued, make_replica, settle

pytestmark = pytest.mark.usefixtures("quick")
MIB = 1024 * 1024


class TestMemory:
    def test_it_stands_on_its_row_and_nobody_is_woken_for_it(
        self, agent: Agent, make_live: MakeOne, django_capture_on_commit_callbacks: Any
    ) -> None:
        replica = make_live("hold 50")
        enqueued()
        before = deployment_of(replica).changes
        with django_capture_on_commit_callbacks(execute=True):
            look_until(agent, lambda: now_of(replica).cpu_percent is not None, "a second sample")
        memory = now_of(replica).memory_bytes
        assert memory is not None
        assert 50 * MIB < memory < 80 * MIB
        assert enqueued() == []
        assert deployment_of(replica).changes == before

    @pytest.mark.parametrize("behaviour", ["orphan 50", "outcast 50"])
    def test_what_it_has_started_counts_whoever_is_its_parent_by_now(
        self, agent: Agent, make_live: MakeOne, behaviour: str
    ) -> None:
        replica = make_live(behaviour)
        look_until(agent, lambda: (now_of(replica).memory_bytes or 0) > 50 * MIB, "it counts")

    def test_over_a_limit_that_was_lowered_it_is_ended_and_started_again(
        self, agent: Agent, make_live: MakeOne
    ) -> None:
        replica = make_live("hold 100")
        Deployment.objects.update(memory_mb=64)
        ended = see(agent, replica, ReplicaState.UNREADY)
        held = r"it held 1\d\d MiB, more than the limit of 64 MiB. Raise memory_mb if the model needs more."
        assert_matches(held, ended.reason)
        assert (ended.restarts, ended.exit_code, ended.pid) == (1, -signal.SIGKILL, None)
        assert (ended.memory_bytes, ended.cpu_percent) == (None, None)
        assert gone(replica.pid)
        assert_matches(
            f"the model server ended: {held} Starting it again in 0.01 s", the_log(replica)
        )
        Deployment.objects.update(memory_mb=2048)
        again = see(agent, replica, ReplicaState.READY)
        assert again.pid != replica.pid
        assert_matches(held, again.reason)  # why it was started again
        send(replica, signal.SIGKILL)
        reason = see(agent, replica, ReplicaState.UNREADY).reason
        assert reason == "it was ended by SIGKILL, perhaps for want of memory."

    def test_over_its_limit_while_it_loads_the_attempt_fails_with_the_cause(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one("hoard 100", State.PROBING, memory_mb=64)
        see(agent, replica, ReplicaState.GONE)
        failed = settle(deployment_of(replica))
        assert failed.state == State.FAILED
        assert_matches(
            r"it held \d+ MiB, more than the limit of 64 MiB\. Raise memory_mb", failed.reason
        )

    def test_it_is_ended_also_while_the_database_is_away_and_told_of_later(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one("hoard 100", memory_mb=64)
        agent.reconcile()
        agent.reconcile()
        pid = now_of(replica).pid

        def guarded() -> bool:
            agent.guard()
            return gone(pid)

        until(guarded, "ended")
        assert "more than the limit of 64 MiB" in see(agent, replica, ReplicaState.GONE).reason

    @pytest.mark.parametrize("behaviour", ["orphan 100", "outcast 100"])
    def test_with_it_goes_what_it_has_started_in_whatever_group(
        self, agent: Agent, make_live: MakeOne, behaviour: str
    ) -> None:
        replica = make_live(behaviour)
        started = agents.grandchild_of(replica)
        Deployment.objects.update(memory_mb=64)
        see(agent, replica, ReplicaState.UNREADY)
        until(lambda: gone(started), "what it has started is gone")

    def test_within_its_limit_it_goes_on(self, agent: Agent, make_live: MakeOne) -> None:
        replica = make_live("hold 100", memory_mb=150)
        first = look_until(agent, lambda: agent.watching.sampler.latest(replica.pk), "a sample")
        look_until(agent, lambda: agent.watching.sampler.latest(replica.pk) != first, "another one")
        assert now_of(replica).restarts == 0

    def test_the_agent_is_woken_for_it(self, agent: Agent, make_one: MakeOne) -> None:
        make_one("hoard 100", memory_mb=64)
        agent.reconcile()
        agent.reconcile()
        woken = agent.watching.sampler.woken
        assert woken in agent.watching.descriptors()
        until(lambda: readable(woken), "woken")


class TestSilence:
    def test_one_that_does_not_answer_gets_no_requests_until_it_does(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "EVERY", 0.05)
        monkeypatch.setattr(pulse, "SILENT", 0.5)
        replica = make_live()
        look_until(agent, lambda: agent.watching.well(replica.pk), "it answers")
        assert routed(replica) == [replica.address]
        send(replica, signal.SIGSTOP)
        unready = see(agent, replica, ReplicaState.UNREADY)
        assert unready.pid == replica.pid
        assert unready.reason == "it has not answered for 0 s and gets no requests until it does."
        assert routed(replica) == []
        send(replica, signal.SIGCONT)
        until(lambda: any(map(readable, agent.watching.descriptors())), "its answer wakes us")
        ready = see(agent, replica, ReplicaState.READY)
        assert (ready.pid, ready.restarts, ready.reason) == (replica.pid, 0, "")
        assert routed(replica) == [replica.address]
        assert "it answers again" in the_log(replica)

    def test_one_that_does_not_answer_for_long_is_ended_and_started_again(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "EVERY", 0.05)
        monkeypatch.setattr(pulse, "DEAD", 0.5)
        replica = make_live()
        send(replica, signal.SIGSTOP)
        look_until(agent, lambda: now_of(replica).restarts == 1, "it has ended")
        assert gone(replica.pid)
        again = see(agent, replica, ReplicaState.READY)
        assert again.pid != replica.pid
        assert again.reason == "it had not answered for 0 s."
        assert "the model server ended: it had not answered for 0 s." in the_log(replica)

    def test_nobody_waits_for_it(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "EVERY", 0)
        replica = make_live()
        send(replica, signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(3):
            agent.reconcile()
        assert time.monotonic() - began < 1
        assert agent._patience() <= watching._SOON
        send(replica, signal.SIGCONT)

    def test_the_next_agent_finds_it_ready_again(
        self, make_agent: MakeAgent, make_live: MakeOne
    ) -> None:
        replica = make_live()
        Replica.objects.update(state=ReplicaState.UNREADY)
        second = make_agent()
        second.adopt()
        assert see(second, replica, ReplicaState.READY).pid == replica.pid

    def test_the_next_agent_does_not_take_its_word_for_it(
        self, make_agent: MakeAgent, make_live: MakeOne
    ) -> None:
        replica = make_live()
        send(replica, signal.SIGSTOP)
        Replica.objects.update(state=ReplicaState.UNREADY)
        second = make_agent()
        second.adopt()
        for _ in range(3):
            second.reconcile()
        assert now_of(replica).state == ReplicaState.UNREADY
        send(replica, signal.SIGCONT)


class TestLoading:
    def test_nobody_waits_for_one_that_was_stopped_meanwhile(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one()
        agent.reconcile()
        until(lambda: Path(now_of(replica).address).exists(), "it listens")
        send(replica, signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(5):
            agent.reconcile()
        assert time.monotonic() - began < 1
        assert now_of(replica).state == ReplicaState.STARTING
        send(replica, signal.SIGCONT)
        see(agent, replica, ReplicaState.READY)

    def test_one_that_is_started_again_and_does_not_get_ready_is_ended(
        self, agent: Agent, make_one: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_one("hang", State.LIVE)
        monkeypatch.setattr(pulse, "DEAD", 0)
        for _ in range(3):
            agent.reconcile()
        assert now_of(replica).state == ReplicaState.STARTING
        Replica.objects.update(started_at=now() - LOADING_PATIENCE)
        ended = see(agent, replica, ReplicaState.UNREADY)
        assert ended.reason == "it had not loaded after 10 minutes."
        assert ended.restarts == 1


class TestLogs:
    def test_of_many_replicas_that_are_gone_the_newest_logs_are_kept(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "_KEPT", 2)
        monkeypatch.setattr(logs, "_LONGEST", 0)
        lasting = make_live()  # older than all of them, and still there
        gone = [make_replica(deployment_of(lasting)) for _ in range(3)]
        for replica in [lasting, *gone]:
            logs.write(logs.of_replica(replica), "in the older file")
        Replica.objects.filter(pk__in=[replica.pk for replica in gone]).update(wanted=False)
        agent.reconcile()
        assert [the_log(replica) != "" for replica in [lasting, *gone]] == [True, False, True, True]
        left = {path.name.partition(".")[0] for path in logs.of_replica(lasting).parent.iterdir()}
        assert not [name for name in left if name.endswith(f"-{gone[0].pk}")]

    def test_a_log_that_has_grown_long_is_shortened(
        self, agent: Agent, make_live: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_live()
        path = logs.of_replica(replica)
        monkeypatch.setattr(logs, "_LONGEST", 1000)
        logs.write(path, "x" * 800)
        page = logs.read(path)
        logs.write(path, "y" * 800)
        logs.write(path, "z" * 800)
        with path.open("a") as file:
            file.write("printed\n" * 200)
        agent.reconcile()
        assert path.stat().st_size == 0
        lines = logs.read(path, page.next).lines
        assert lines[0].endswith("of earlier lines were dropped")
        assert lines[1:] == ["printed"] * 125

    def test_a_full_disk_ends_neither_the_agent_nor_a_replica(
        self, agent: Agent, make_live: MakeOne
    ) -> None:
        replica, other = make_live(), make_live()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # no file may grow
        try:
            send(replica, signal.SIGKILL)
            look_until(agent, lambda: now_of(replica).restarts == 1, "it has ended")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "model server ended" not in the_log(replica)
        assert now_of(other).pid == other.pid
        see(agent, replica, ReplicaState.READY)


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def routed(replica: Replica) -> list[str]:
    """Where the gateway sends requests for its deployment."""
    with connection.cursor() as cursor:
        cursor.execute(SQL)
        (told,) = cursor.fetchone()
    route = table_from(told).routes[replica.deployment.endpoint.name]
    return [address for deployment in route.deployments for address, _ in deployment.replicas]
