"""The agent, look by look, with real child processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from endpoints import environments, lifecycle
from endpoints.agent import agent as agents
from endpoints.agent import restarts
from endpoints.agent.agent import Agent
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.accounts.models import User
from studio.lib.processes import Identity
from tests.support.agents import MakeAgent, MakeOne, gone, now_of, see, the_log
from tests.support.processes import running, until
from tests.support.serving import enqueued, make_deployment, make_runnable

Commits = Callable[..., Any]


@pytest.fixture
def make_one(alice: User) -> MakeOne:
    def make(behaviour: str = "serve", state: State = State.STARTING, **given: Any) -> Replica:
        deployment = make_deployment(alice, state=state)
        replica = make_runnable(deployment, behaviour)
        Replica.objects.filter(pk=replica.pk).update(**given)
        return replica

    return make


class TestStart:
    def test_a_replica_that_is_wanted_is_started_and_gets_ready(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one()
        agent.reconcile()
        started = now_of(replica)
        assert started.state == ReplicaState.STARTING
        assert started.started_at is not None
        ready = see(agent, replica, ReplicaState.READY)
        assert ready.pid is not None
        assert ready.pid_started is not None
        assert Identity(ready.pid, ready.pid_started).alive()
        assert Path(ready.address).is_socket()
        assert "loading the stand-in" in the_log(replica)

    def test_it_leads_a_group_of_its_own_in_a_folder_of_its_own(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        ready = see(agent, make_one(), ReplicaState.READY)
        assert ready.pid is not None
        assert os.getpgid(ready.pid) == os.getsid(ready.pid) == ready.pid
        folder = settings.HOME.root / "replicas" / str(ready.pk)
        assert Path(psutil.Process(ready.pid).cwd()) == folder

    def test_no_secret_of_studios_is_in_its_environment(
        self, agent: Agent, make_one: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = (
            "STUDIO_SECRET_KEY",
            "DATABASE_URL",
            "REDIS_URL",
            "MLFLOW_TRACKING_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
        )
        for name in names:
            monkeypatch.setenv(name, "a-secret-of-studio")
        ready = see(agent, make_one(), ReplicaState.READY)
        told = Path(f"/proc/{ready.pid}/environ").read_bytes().decode()
        assert "PYTHONPATH" in told
        assert not [name for name in names if name in told]
        assert "a-secret-of-studio" not in told
        assert settings.SECRET_KEY not in told
        assert "PYTHONDONTWRITEBYTECODE" not in told

    def test_its_deployment_is_looked_at_and_its_page_told(
        self, agent: Agent, make_one: MakeOne, django_capture_on_commit_callbacks: Commits
    ) -> None:
        replica = make_one()
        enqueued()
        before = Deployment.objects.get().changes
        with django_capture_on_commit_callbacks(execute=True) as told:
            see(agent, replica, ReplicaState.READY)
        assert len(told) == 2  # started, ready
        assert set(enqueued()) == {replica.deployment_id}
        assert Deployment.objects.get().changes == before + 2

    def test_a_start_that_could_not_be_noted_is_noted_later(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        """The database went away between the start of the process and the writing of its row."""
        replica = make_one("hang")
        agent.reconcile()
        pid = now_of(replica).pid
        Replica.objects.update(pid=None, pid_started=None, address="", started_at=None)
        agent.reconcile()
        noted = now_of(replica)
        assert noted.pid == pid
        assert noted.started_at is not None


class TestEndBeforeReady:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (3, "its code raised an error, which the log shows."),
            (0, "it ended by itself."),
            (7, "it ended with exit code 7."),
        ],
    )
    def test_it_is_gone_with_the_reason(
        self, agent: Agent, make_one: MakeOne, code: int, reason: str
    ) -> None:
        ended = see(agent, make_one(f"exit {code}"), ReplicaState.GONE)
        assert (ended.exit_code, ended.reason, ended.pid) == (code, reason, None)
        assert "ValueError: boom" in the_log(ended)

    def test_killed_it_is_told_by_what(self, agent: Agent, make_one: MakeOne) -> None:
        replica = make_one("hang")
        agent.reconcile()
        pid = now_of(replica).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        ended = see(agent, replica, ReplicaState.GONE)
        assert ended.exit_code == -signal.SIGKILL
        assert ended.reason == "it was ended by SIGKILL, perhaps for want of memory."

    def test_its_deployment_is_looked_at(
        self, agent: Agent, make_one: MakeOne, django_capture_on_commit_callbacks: Commits
    ) -> None:
        replica = make_one("exit 3")
        agent.reconcile()
        enqueued()
        with django_capture_on_commit_callbacks(execute=True):
            see(agent, replica, ReplicaState.GONE)
        assert enqueued() == [replica.deployment_id]

    def test_one_that_cannot_be_started_is_gone_with_the_reason(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one()
        Deployment.objects.update(environment="missing-" + "x" * 50)
        ended = see(agent, replica, ReplicaState.GONE)
        assert ended.reason == (
            "it could not be started: its environment has been removed from this machine; "
            "a retry builds it again."
        )
        lifecycle.reconcile(replica.deployment_id)
        failed = Deployment.objects.get(pk=replica.deployment_id)
        assert (failed.state, ended.reason in failed.reason) == (State.FAILED, True)

    def test_a_reason_of_any_length_is_noted(
        self, agent: Agent, make_one: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replica = make_one()

        def deep(key: str) -> Path:
            return Path("/" + "deep/" * 100) / key

        monkeypatch.setattr(environments, "python_of", deep)
        assert len(see(agent, replica, ReplicaState.GONE).reason) == 300

    def test_one_that_is_no_longer_wanted_before_it_was_started_never_is(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        replica = make_one(wanted=False)
        agent.reconcile()
        row = now_of(replica)
        assert (row.state, row.started_at, row.reason) == (ReplicaState.GONE, None, "")


class TestLive:
    @pytest.fixture
    def live(self, agent: Agent, make_one: MakeOne) -> Replica:
        return see(agent, make_one(state=State.LIVE), ReplicaState.READY)

    def kill(self, replica: Replica) -> None:
        pid = now_of(replica).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def test_killed_it_is_started_again(
        self, agent: Agent, live: Replica, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.05)
        self.kill(live)
        unready = see(agent, live, ReplicaState.UNREADY)
        assert (unready.restarts, unready.pid, unready.exit_code) == (1, None, -9)
        again = see(agent, live, ReplicaState.READY)
        assert again.pid not in (None, live.pid)
        assert "the model server ended: it was ended by SIGKILL" in the_log(live)

    @pytest.mark.parametrize(("before", "pause"), [(0, "0.2"), (1, "0.4"), (3, "1.6"), (20, "30")])
    def test_each_time_it_is_waited_longer_up_to_a_limit(
        self, agent: Agent, live: Replica, before: int, pause: str
    ) -> None:
        for _ in range(before):
            agent.restarts.ended(live.pk)
        self.kill(live)
        assert see(agent, live, ReplicaState.UNREADY).restarts == 1
        assert f"Starting it again in {pause} s" in the_log(live)
        agent.reconcile()
        assert now_of(live).state == ReplicaState.UNREADY
        assert 0 < agent._patience() <= float(pause)

    def test_one_that_cannot_be_started_again_is_tried_on(
        self, agent: Agent, live: Replica, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.05)
        Deployment.objects.update(environment="missing")
        self.kill(live)
        see(agent, live, ReplicaState.UNREADY)

        def tried() -> bool:
            agent.reconcile()
            return now_of(live).restarts > 1

        until(tried, "it is tried again")
        assert now_of(live).state == ReplicaState.UNREADY
        Deployment.objects.update(environment="standin")
        see(agent, live, ReplicaState.READY)

    def test_deleted_while_it_is_waited_for_the_agent_rests_again(
        self, agent: Agent, live: Replica
    ) -> None:
        self.kill(live)
        see(agent, live, ReplicaState.UNREADY)
        Replica.objects.update(wanted=False)
        see(agent, live, ReplicaState.GONE)
        agent.reconcile()
        assert agent._patience() == agents._BEAT


class TestEnd:
    def test_not_wanted_it_is_asked_to_end_and_leaves_nothing(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        ready = see(agent, make_one(), ReplicaState.READY)
        Replica.objects.update(wanted=False)
        agent.reconcile()
        assert now_of(ready).state == ReplicaState.DRAINING
        ended = see(agent, ready, ReplicaState.GONE)
        assert (ended.exit_code, ended.reason) == (0, "")
        assert gone(ready.pid)
        assert not Path(ready.address).exists()
        assert not (settings.HOME.root / "replicas" / str(ready.pk)).exists()
        assert the_log(ready)

    def test_one_that_does_not_listen_is_killed_after_its_time(
        self, agent: Agent, make_one: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ready = see(agent, make_one("stubborn"), ReplicaState.READY)
        Replica.objects.update(wanted=False)
        agent.reconcile()
        agent.reconcile()
        assert now_of(ready).state == ReplicaState.DRAINING
        assert not gone(ready.pid)
        monkeypatch.setattr(agents, "_DRAIN", 0.2)
        assert see(agent, ready, ReplicaState.GONE).exit_code == -signal.SIGKILL
        assert gone(ready.pid)

    def test_one_whose_row_was_deleted_by_hand_is_killed(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        ready = see(agent, make_one("stubborn"), ReplicaState.READY)
        Replica.objects.all().delete()
        agent.reconcile()
        until(lambda: gone(ready.pid), "killed")
        assert agent.children == {}

    def test_what_a_model_has_started_ends_with_it(self, agent: Agent, make_one: MakeOne) -> None:
        ready = see(agent, make_one("family"), ReplicaState.READY)
        grandchild = int(
            (settings.HOME.models / str(ready.deployment_id) / "grandchild").read_text()
        )
        assert not gone(grandchild)
        assert ready.pid is not None
        os.kill(ready.pid, signal.SIGKILL)
        see(agent, ready, ReplicaState.GONE)
        until(lambda: gone(grandchild), "the grandchild ended")

    def test_asked_to_end_it_takes_along_who_has_left_its_group(
        self, agent: Agent, make_one: MakeOne
    ) -> None:
        ready = see(agent, make_one("runaway"), ReplicaState.READY)
        path = settings.HOME.models / str(ready.deployment_id) / "grandchild"
        Replica.objects.filter(pk=ready.pk).update(wanted=False)
        see(agent, ready, ReplicaState.GONE)
        until(lambda: gone(int(path.read_text())), "the grandchild ended")

    def test_a_clean_end_leaves_no_process_and_rows_that_ask_for_a_start(
        self, agent: Agent, make_one: MakeOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents, "_END", 0.5)
        replicas = [make_one(kind) for kind in ("serve", "stubborn", "hang", "family")]
        for index in (0, 1, 3):
            see(agent, replicas[index], ReplicaState.READY)
        pids = list(Replica.objects.values_list("pid", flat=True))
        family = settings.HOME.models / str(replicas[3].deployment_id) / "grandchild"
        agent.end_all()
        until(lambda: all(gone(pid) for pid in [*pids, int(family.read_text())]), "all ended")
        rows = Replica.objects.values_list("pid", "state", "wanted")
        assert set(rows) == {(None, ReplicaState.STARTING, True)}


class TestAdoption:
    def test_a_child_of_an_earlier_agent_is_looked_after(
        self, make_agent: MakeAgent, make_one: MakeOne
    ) -> None:
        first = make_agent()
        ready = see(first, make_one(), ReplicaState.READY)
        second = make_agent()
        second.adopt()
        second.reconcile()
        assert now_of(ready).pid == ready.pid
        Replica.objects.update(wanted=False)
        assert see(second, ready, ReplicaState.GONE).exit_code is None
        assert gone(ready.pid) or first.children[ready.pk].exit_code() == 0

    def test_one_that_was_still_loading_gets_ready(
        self, make_agent: MakeAgent, make_one: MakeOne
    ) -> None:
        first = make_agent()
        replica = make_one()
        first.reconcile()
        second = make_agent()
        second.adopt()
        see(second, replica, ReplicaState.READY)

    def test_one_that_ended_meanwhile_is_gone(
        self, make_agent: MakeAgent, make_one: MakeOne
    ) -> None:
        replica = make_one(state=State.PROBING, pid=2**22 - 1, pid_started=1.0)
        Replica.objects.update(state=ReplicaState.READY)
        make_agent().adopt()
        row = now_of(replica)
        assert (row.state, row.pid) == (ReplicaState.GONE, None)
        assert row.reason == "how it ended is not known."

    def test_a_pid_that_is_anothers_by_now_is_left_alone(
        self, make_agent: MakeAgent, make_one: MakeOne
    ) -> None:
        with running(["sleep", "60"]) as other:
            now = Identity.of(other.pid)
            assert now
            then = now.started - 100
            replica = make_one(state=State.LIVE, pid=other.pid, pid_started=then)
            agent = make_agent()
            agent.adopt()
            assert now_of(replica).state == ReplicaState.UNREADY
            again = see(agent, replica, ReplicaState.READY)
            assert again.pid != other.pid
            Replica.objects.update(wanted=False)
            see(agent, replica, ReplicaState.GONE)
            assert other.poll() is None
