"""The agent as the process that it is: killed, ended, woken, and without its database for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils.timezone import now
from psycopg import sql

from endpoints.engines import engine
from endpoints.models import Agent as AgentRow
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.accounts.models import User
from studio.launch.postgres import DATABASE, OWNER
from studio.lib.database import embedded_url
from studio.lib.processes import Identity
from tests.support.processes import until
from tests.support.serving import last_attempt, make_deployment, make_runnable

pytestmark = pytest.mark.django_db(transaction=True)
AgentProcess = subprocess.Popen[bytes]
_NAME = "the-agent"  # of its connections, so that they can be ended


def url_of(database: str) -> str:
    password = settings.HOME.secret("postgres-password")
    return embedded_url(settings.HOME.postgres_socket, OWNER, password, database)


def has_looked(agent: AgentProcess) -> bool:
    return AgentRow.objects.filter(pid=agent.pid).exists()


@pytest.fixture
def start_agent() -> Iterator[Callable[[], AgentProcess]]:
    """`python -m endpoints.agent` on the test database. What the last one leaves is ended."""
    made: list[AgentProcess] = []
    url = url_of(str(connection.settings_dict["NAME"]))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {"DATABASE_URL": url, "PGAPPNAME": _NAME, "STUDIO_SECRET_KEY": settings.SECRET_KEY}

    def start(here: Callable[[AgentProcess], bool] = has_looked, **variables: str) -> AgentProcess:
        command = [sys.executable, "-m", "endpoints.agent"]
        made.append(
            subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env=kept | own | variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        until(lambda: here(made[-1]), "the agent is here")
        return made[-1]

    yield start
    for process in made:
        process.terminate()
        process.wait(20)
    for replica in Replica.objects.exclude(pid=None):
        identity = Identity(replica.pid or 0, replica.pid_started or 0.0)
        identity.kill_group(signal.SIGKILL)


@pytest.fixture
def replica(alice: User) -> Replica:
    """Of a live deployment, and wanted."""
    return make_runnable(make_deployment(alice, state=State.LIVE), "serve")


def see(replica: Replica, state: ReplicaState, seconds: float = 10) -> Replica:
    def look() -> Replica | None:
        return Replica.objects.filter(pk=replica.pk, state=state).first()

    return until(look, f"replica {state}", seconds)


def alive(replica: Replica) -> bool:
    return Identity(replica.pid or 0, replica.pid_started or 0.0).alive()


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@contextmanager
def database_away() -> Iterator[None]:
    """Nobody gets a new connection, and the agent has lost its own. Ours go on."""
    name = sql.Identifier(str(connection.settings_dict["NAME"]))
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    theirs = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(url_of(DATABASE), autocommit=True) as beside:
        beside.execute(allow.format(name, sql.Literal(False)))
        try:
            until(lambda: not beside.execute(theirs, [_NAME]).fetchall(), "it has no connection")
            yield
        finally:
            beside.execute(allow.format(name, sql.Literal(True)))


def test_killed_it_leaves_its_children_and_the_next_takes_them_over(
    start_agent: Callable[[], AgentProcess], replica: Replica
) -> None:
    first = start_agent()
    ready = see(replica, ReplicaState.READY)
    first.kill()
    first.wait()
    assert alive(ready)
    start_agent()
    row = Replica.objects.get()
    assert (row.state, row.pid, row.restarts) == (ReplicaState.READY, ready.pid, 0)
    kill(row.pid)
    assert see(replica, ReplicaState.UNREADY, 3).restarts == 1
    assert see(replica, ReplicaState.READY).pid != ready.pid


def test_ended_cleanly_it_leaves_no_process_and_the_next_starts_them_again(
    start_agent: Callable[[], AgentProcess], replica: Replica
) -> None:
    first = start_agent()
    ready = see(replica, ReplicaState.READY)
    first.terminate()
    assert first.wait(5) == 0
    assert not alive(ready)
    assert Replica.objects.get().state == ReplicaState.STARTING
    start_agent()
    again = see(replica, ReplicaState.READY)
    assert again.pid != ready.pid


def test_one_whose_row_was_never_told_of_it_is_ended_by_the_next(
    start_agent: Callable[..., AgentProcess], replica: Replica
) -> None:
    """The database was away when it was started, and then the agent was killed."""
    first = start_agent()
    ready = see(replica, ReplicaState.READY)
    first.kill()
    first.wait()
    Replica.objects.update(pid=None, pid_started=None, state=ReplicaState.STARTING)
    start_agent()
    again = see(replica, ReplicaState.READY)
    assert again.pid != ready.pid
    assert not alive(ready)
    assert alive(again)


def test_asked_to_end_while_it_starts_it_ends_what_an_earlier_one_has_left(
    start_agent: Callable[..., AgentProcess], replica: Replica
) -> None:
    first = start_agent()
    ready = see(replica, ReplicaState.READY)
    first.kill()
    first.wait()
    second = start_agent(here=lambda process: catches(process.pid, signal.SIGTERM))
    second.terminate()
    assert second.wait(10) == 0
    assert not alive(ready)
    row = Replica.objects.get()
    assert (row.state, row.pid, row.restarts) == (ReplicaState.STARTING, None, 0)


def test_without_its_database_it_still_ends_what_an_earlier_one_has_left(
    start_agent: Callable[..., AgentProcess], replica: Replica
) -> None:
    first = start_agent()
    ready = see(replica, ReplicaState.READY)
    first.kill()
    first.wait()
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    second = start_agent(here=lambda process: catches(process.pid, signal.SIGTERM), **nowhere)
    second.terminate()
    assert second.wait(30) == 0
    assert not alive(ready)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has said what it does at this signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_it_is_woken_by_what_is_wanted_and_by_the_end_of_a_child(
    start_agent: Callable[[], AgentProcess], replica: Replica
) -> None:
    """Well before it would look by itself, which is every three seconds."""
    start_agent()
    see(replica, ReplicaState.READY)
    began = time.monotonic()
    engine().start(last_attempt(Deployment.objects.get()))
    second = Replica.objects.latest("pk")
    until(lambda: Replica.objects.get(pk=second.pk).pid, "started", 2)
    see(second, ReplicaState.READY, 2)
    kill(Replica.objects.get(pk=second.pk).pid)
    until(lambda: Replica.objects.get(pk=second.pk).restarts, "noticed", 2)
    assert time.monotonic() - began < 5
    engine().stop(Deployment.objects.get())
    see(replica, ReplicaState.GONE, 2)


def test_while_the_database_is_away_children_go_on_and_afterwards_all_is_noted(
    start_agent: Callable[[], AgentProcess], alice: User, replica: Replica
) -> None:
    agent = start_agent()
    other = make_runnable(make_deployment(alice, state=State.LIVE), "serve")
    ready, dying = see(replica, ReplicaState.READY), see(other, ReplicaState.READY)
    with database_away():
        kill(dying.pid)
        seen = AgentRow.objects.get().seen_at
        assert now() - seen < timedelta(seconds=6)
        assert alive(ready)
        assert agent.poll() is None
    until(lambda: AgentRow.objects.get().seen_at > seen, "the agent is back")
    until(lambda: Replica.objects.get(pk=other.pk).restarts, "what happened meanwhile is noted")
    assert see(other, ReplicaState.READY).pid != dying.pid
    row = Replica.objects.get(pk=replica.pk)
    assert (row.pid, row.state, row.restarts) == (ready.pid, ReplicaState.READY, 0)
    assert alive(ready)


def test_a_child_of_the_process_sees_no_secret(
    start_agent: Callable[[], AgentProcess], replica: Replica
) -> None:
    agent = start_agent()
    ready = see(replica, ReplicaState.READY)
    own = Path(f"/proc/{agent.pid}/environ").read_bytes()
    childs = Path(f"/proc/{ready.pid}/environ").read_bytes()
    secrets = [settings.SECRET_KEY, settings.HOME.secret("postgres-password")]
    assert all(secret.encode() in own for secret in secrets)
    assert not any(secret.encode() in childs for secret in secrets)
    assert b"STUDIO_" not in childs
