"""The agent and its template processes, in a real environment: what dies, and what goes on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from django.conf import settings

from endpoints import environments, logs
from endpoints.agent import agent as agents
from endpoints.agent import children, templates
from endpoints.agent.agent import Agent
from endpoints.agent.templates import Template
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.accounts.models import User
from studio.lib.processes import Identity
from tests.endpoints.runtime.model_server_kit import NEWEST, PATIENCE, Environment
from tests.support.agents import making_agents
from tests.support.processes import until
from tests.support.serving import last_attempt, make_deployment

KEY = "real"


@pytest.fixture
def make_agent(db: None) -> Iterator[Callable[[], Agent]]:
    with making_agents() as make_one:

        def make() -> Agent:
            made = make_one()
            made.adopt()
            return made

        yield make


@pytest.fixture
def agent(make_agent: Callable[[], Agent]) -> Agent:
    return make_agent()


@pytest.fixture
def make_replica(
    alice: User, environment_of: Callable[[str], Environment]
) -> Callable[[], Replica]:
    """Wanted replicas of live deployments that share one environment."""
    python, models = environment_of(NEWEST)
    settings.HOME.make()
    place = environments.folder(KEY)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(python.parents[1])

    def make() -> Replica:
        deployment = make_deployment(alice, state=State.LIVE, environment=KEY)
        shutil.copytree(models / "plain", Path(settings.HOME.models) / str(deployment.pk))
        return Replica.objects.create(deployment=deployment, attempt=last_attempt(deployment))

    return make


def ready(agent: Agent, replica: Replica) -> Replica:
    """Look until it is ready under a pid that it has not had yet."""

    def look() -> Replica | None:
        agent.reconcile()
        row = Replica.objects.get(pk=replica.pk)
        assert row.restarts < 3, the_log(row)
        return row if row.state == ReplicaState.READY and row.pid != replica.pid else None

    return until(look, "the replica is ready", 15)


def the_template(agent: Agent) -> Template:
    return agent.templates.running[KEY]


def answers(replica: Replica) -> bool:
    with httpx.Client(transport=httpx.HTTPTransport(uds=replica.address)) as client:
        return client.get("http://replica/ping").status_code == 200


def the_log(replica: Replica) -> str:
    return "\n".join(logs.read(logs.of_replica(replica)).lines)


def at_work_for(replica: Replica) -> list[int]:
    """Who runs in the replica's folder."""
    place = str(Path(settings.HOME.root) / "replicas" / str(replica.pk))
    return [process.pid for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == place]


def kill(pid: int | None, number: signal.Signals = signal.SIGKILL) -> None:
    assert pid is not None
    os.kill(pid, number)


def test_replicas_are_forked_by_their_environments_template(
    agent: Agent, make_replica: Callable[[], Replica]
) -> None:
    first, second = (ready(agent, make_replica()) for _ in range(2))
    pid = the_template(agent).identity.pid
    assert [psutil.Process(one.pid).ppid() for one in (first, second)] == [pid, pid]
    assert answers(first)
    assert answers(second)
    assert "the template of its environment is importing, 0 s" in the_log(first)
    assert "importing" not in the_log(second)


def test_one_that_is_killed_is_forked_again_and_what_killed_it_is_told(
    agent: Agent, make_replica: Callable[[], Replica]
) -> None:
    replica = ready(agent, make_replica())
    kill(replica.pid)
    again = ready(agent, replica)
    assert again.exit_code == -signal.SIGKILL
    assert "ended by SIGKILL" in the_log(replica)
    assert psutil.Process(again.pid).ppid() == the_template(agent).identity.pid


def test_without_its_template_a_replica_goes_on_and_another_template_is_started(
    agent: Agent, make_replica: Callable[[], Replica]
) -> None:
    replica = ready(agent, make_replica())
    former = the_template(agent).identity
    kill(former.pid)
    until(lambda: not former.alive(), "the template is dead")
    agent.reconcile()
    assert the_template(agent).identity != former
    assert answers(replica)
    kill(replica.pid)
    again = ready(agent, replica)
    assert "how it ended is not known" in the_log(replica)
    assert psutil.Process(again.pid).ppid() == the_template(agent).identity.pid


def test_a_template_that_does_not_answer_is_ended_and_replaced(
    agent: Agent, make_replica: Callable[[], Replica]
) -> None:
    first = ready(agent, make_replica())
    former = the_template(agent).identity
    kill(former.pid, signal.SIGSTOP)
    second = ready(agent, make_replica())
    assert not former.alive()
    assert answers(first)
    assert answers(second)


def test_the_next_agent_finds_it_again(
    make_agent: Callable[[], Agent], make_replica: Callable[[], Replica]
) -> None:
    earlier = make_agent()
    first = ready(earlier, make_replica())
    template = the_template(earlier)
    later = make_agent()
    assert the_template(later).identity == template.identity
    second = ready(later, make_replica())
    assert psutil.Process(second.pid).ppid() == template.identity.pid
    assert answers(first)


def test_one_that_was_still_importing_is_ended_by_the_next_agent(
    make_agent: Callable[[], Agent], make_replica: Callable[[], Replica]
) -> None:
    earlier = make_agent()
    replica = make_replica()
    earlier.reconcile()
    importing = the_template(earlier).identity
    later = make_agent()
    until(lambda: not importing.alive(), "it has ended")
    assert answers(ready(later, replica))


def test_where_none_can_be_started_a_replica_starts_by_itself(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MEMORY_MB", 1)  # it ends as soon as it has imported
    replica = ready(agent, make_replica())
    assert agent.templates.running == {}
    assert psutil.Process(replica.pid).ppid() == os.getpid()
    assert answers(replica)


def test_one_that_has_been_idle_is_forgotten_and_started_when_needed(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "IDLE", 1)
    replica = ready(agent, make_replica())
    Replica.objects.filter(pk=replica.pk).update(wanted=False)
    former = the_template(agent)

    def over() -> bool:
        agent.reconcile()
        return not agent.templates.running

    until(over, "the template is idle", PATIENCE)
    assert former.process is not None
    assert former.process.returncode == 0
    assert answers(ready(agent, make_replica()))


def test_one_that_is_started_for_later_is_kept_however_late_that_is(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(agent, make_replica())
    kill(the_template(agent).identity.pid)
    until(lambda: not the_template(agent).alive, "it is dead")

    def another() -> bool:
        agent.reconcile()
        return the_template(agent).connection is not None

    until(another, "another has imported", PATIENCE)
    monkeypatch.setattr(templates, "_IMPORT_PATIENCE", 0)
    agent.reconcile()
    assert the_template(agent).alive


def test_one_that_never_forks_in_time_is_given_up_and_leaves_no_replica(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "_ANSWER_PATIENCE", 0)
    replica = ready(agent, make_replica())
    assert agent.templates.running == {}
    assert at_work_for(replica) == [replica.pid]


def test_what_one_has_forked_too_late_is_ended_with_it(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(agent, make_replica())
    forked, fork = [], Template.fork

    def late(template: Template, *given: Any) -> int:
        pid = fork(template, *given)
        until(lambda: os.getpgid(pid) == pid, "it leads a group of its own")
        forked.append(Identity.of(pid))
        raise TimeoutError

    monkeypatch.setattr(Template, "fork", late)
    make_replica()
    agent.reconcile()
    (child,) = forked
    assert child is not None
    until(lambda: not child.alive(), "it has ended")


def test_who_waits_for_one_that_imports_is_told_again_and_again(
    agent: Agent, make_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "_TELL", 0.05)
    replica = make_replica()
    agent.reconcile()
    kill(the_template(agent).identity.pid, signal.SIGSTOP)

    def told_often() -> bool:
        agent.reconcile()
        return the_log(replica).count("is importing") >= 3

    until(told_often, "three lines", PATIENCE)
    kill(the_template(agent).identity.pid, signal.SIGCONT)
    assert answers(ready(agent, replica))


def test_one_that_does_not_tell_of_an_end_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "_CODE_PATIENCE", 0.05)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        template = Template(KEY, Identity(os.getpid(), 0.0), -1, connection=ours)
        assert template.code_of(1) is None
        monkeypatch.setattr(templates, "_CODE_PATIENCE", float("nan"))  # it would fail to wait
        assert template.code_of(2) is None
        for pid in (1, 2):
            theirs.send(b'{"ended": %d, "code": 3}' % pid)
        assert [template.code_of(pid) for pid in (1, 2)] == [3, 3]


def test_one_that_ends_with_a_request_out_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(templates, "_ANSWER_PATIENCE", 3600)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, (tmp_path / "log").open("wb") as output:
        template = Template(KEY, Identity(os.getpid(), 0.0), -1, connection=ours)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError):
            template.fork(tmp_path, "s", tmp_path, output.fileno())


def test_what_an_agent_had_no_time_to_note_is_ended_by_the_next(
    make_agent: Callable[[], Agent], make_replica: Callable[[], Replica]
) -> None:
    earlier = make_agent()
    ready(earlier, make_replica())
    unnoted = make_replica()
    forked = children.start(unnoted, the_template(earlier))
    by_itself = children.start(make_replica())
    later = make_agent()
    until(lambda: not forked.identity.alive(), "the fork has ended")
    until(lambda: not by_itself.identity.alive(), "the other has ended")
    again = ready(later, unnoted)
    assert at_work_for(again) == [again.pid]
    by_itself.exit_code()


def test_who_else_listens_in_its_place_is_no_template(
    make_agent: Callable[[], Agent], make_replica: Callable[[], Replica]
) -> None:
    """A model has the account of its template, and so may write where its socket is."""
    agent, replica = make_agent(), make_replica()
    agent.reconcile()
    template = the_template(agent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(templates.address(KEY)))
        listener.listen()
        assert not template.ready()
        later = make_agent()
        assert later.templates.running == {}
        assert answers(ready(later, replica))


def test_what_lies_in_the_place_of_a_socket_stops_no_agent(
    make_agent: Callable[[], Agent],
) -> None:
    templates.address("odd").mkdir(parents=True)
    agent = make_agent()
    assert agent.templates.running == {}
    assert not templates.address("odd").exists()


@pytest.mark.parametrize(
    "packet", [b"", b"no", b"[]", b'{"ended": "x", "code": 1}', b'{"ended": 1}']
)
def test_what_a_template_never_says_counts_as_its_end(packet: bytes) -> None:
    assert templates._understood(packet) is None


def test_a_clean_end_leaves_no_template(agent: Agent, make_replica: Callable[[], Replica]) -> None:
    replica = ready(agent, make_replica())
    template = the_template(agent).identity
    agent.end_all()
    assert not template.alive()
    assert not Identity(replica.pid or 0, replica.pid_started or 0.0).alive()
    assert not templates.address(KEY).exists()
    assert Deployment.objects.get(pk=replica.deployment_id).state == State.LIVE
