"""The agent: makes this host's replicas be what their rows want, and their rows say what they are."""

from __future__ import annotations

import logging
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils.timezone import now

from endpoints import logs, tasks
from endpoints.agent import children, record
from endpoints.agent.children import Child
from endpoints.agent.templates import Template, Templates
from endpoints.models import Agent as AgentRow
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.lib.notify import REPLICAS, ROUTES, notify

log = logging.getLogger(__name__)

_BEAT = 3.0  # seconds between signs of life, and between looks at the rows when nothing wakes us
_PROBE = 0.1  # seconds between questions to a replica that loads
_TELL = 2.0  # seconds between lines about a wait
_DRAIN = 10.0  # seconds for a replica to finish what it answers
_END = 3.0  # seconds for all of them when Studio stops
_FIRST_PAUSE, _LONGEST_PAUSE = (
    0.2,
    30.0,
)  # seconds between the end of a live replica and its next start


class Agent:
    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        self.stopping = stopping
        self.host = socket.gethostname()
        self.children: dict[int, Child] = {}
        self.templates = Templates()
        self.waited: dict[int, float] = {}  # for a template: when that was last said
        self.loading: set[int] = set()
        self.resume_at: dict[
            int, float
        ] = {}  # when a replica that ended is started again, monotonic seconds
        self.adopted = False
        # A signal writes a byte here, so that it ends the wait for events at once.
        self.woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)

    def run(self) -> None:
        """Work until it is to stop. A database that goes away is waited for; children go on meanwhile."""
        while not self.stopping():
            try:
                with _listening() as listener:
                    self.adopt()
                    while not self.stopping():
                        self.beat()
                        self.reconcile()
                        self.wait(listener)
            except (DatabaseError, psycopg.Error) as failure:
                log.warning("database away, children go on: %s", failure)
                connection.close()
                time.sleep(0.5)
        self.end_all()
        record.end_all(_END)  # those of an earlier agent that could not be adopted

    def beat(self) -> None:
        AgentRow.objects.update_or_create(
            host=self.host, defaults={"pid": os.getpid(), "seen_at": now()}
        )

    def adopt(self) -> None:
        """Find again what an earlier agent of this host has started: once, however often it is tried."""
        if self.adopted:
            return
        for replica in Replica.objects.present().exclude(pid=None).exclude(pk__in=self.children):
            child = children.adopt(replica)
            if child is None:
                self._ended(replica, None)
                continue
            log.info("adopted replica=%s pid=%s", replica.pk, child.identity.pid)
            self.children[replica.pk] = child
            if replica.state == ReplicaState.STARTING:
                self.loading.add(replica.pk)
        self.templates.adopt()
        known = {process.identity.pid for process in self._all()}
        for identity in record.read():
            if (
                identity.pid not in known
            ):  # its row was never told of it, or it is a template without a socket
                identity.kill_group(signal.SIGKILL)
        self.adopted = True
        self._record()

    def reconcile(self) -> None:
        """One look: end what is not wanted, note what has ended or got ready, start what is missing."""
        self.templates.look()
        rows = {
            row.pk: row
            for row in Replica.objects.present().select_related("deployment__endpoint", "attempt")
        }
        for pk, replica in rows.items():
            if pk in self.children:
                self._look_after(replica, self.children[pk])
            elif not replica.wanted:
                self._gone(replica, None, "")
            elif time.monotonic() >= self.resume_at.get(pk, 0):
                self._start(replica)
        for pk in self.children.keys() - rows.keys():  # its row was deleted by hand
            self.children[pk].signal(signal.SIGKILL)
            self.children[pk].exit_code()
            self._forget(pk)
        for waiting in (self.resume_at, self.waited):
            for pk in waiting.keys() - rows.keys():
                del waiting[pk]

    def wait(self, listener: psycopg.Connection[tuple[object, ...]]) -> None:
        """Sleep until a child ends, a row is said to have changed, or it is time to look anyway."""
        with selectors.DefaultSelector() as selector:
            selector.register(listener.fileno(), selectors.EVENT_READ)
            selector.register(self.woken, selectors.EVENT_READ)
            for process in self._all():
                selector.register(process.exit_watch, selectors.EVENT_READ)
            selector.select(self._patience())
        list(
            listener.notifies(timeout=0)
        )  # empties what has come; raises when the connection is lost

    def end_all(self) -> None:
        """End every child, also what is still to be adopted. What is wanted is started again by the next agent."""
        try:
            if not self.adopted:
                with _listening():  # which tells sooner than the pool that the database is away
                    self.adopt()
        except (DatabaseError, psycopg.Error) as failure:
            log.warning("database away, ending what is noted in the file: %s", failure)
        for child in self.children.values():
            child.signal(signal.SIGTERM)
        self.templates.end_all()
        deadline = time.monotonic() + _END
        for child in self.children.values():
            select.select([child.exit_watch], [], [], max(0.0, deadline - time.monotonic()))
            child.signal(signal.SIGKILL)
            child.exit_code()
        try:
            live = Replica.objects.filter(pk__in=self.children)
            live.update(pid=None, pid_started=None, state=ReplicaState.STARTING)
        except (
            DatabaseError
        ) as failure:  # the next agent finds the processes gone and starts them again
            log.warning("could not note the end of %s replicas: %s", len(self.children), failure)

    def _patience(self) -> float:
        """Seconds until there is something to do by the clock."""
        moments = [_BEAT]
        if self.loading or self.waited:
            moments.append(_PROBE)
        moments += [at - time.monotonic() for at in self.resume_at.values()]
        moments += [
            c.asked_at + _DRAIN - time.monotonic()
            for c in self.children.values()
            if c.asked_at is not None
        ]
        return max(0.0, min(moments))

    def _look_after(self, replica: Replica, child: Child) -> None:
        if select.select([child.exit_watch], [], [], 0)[0]:
            self._ended(replica, child)
        elif not replica.wanted:
            self._drain(replica, child)
        elif replica.pid != child.identity.pid:  # the database went away before it was noted
            self._note_start(replica, child)
        elif replica.pk in self.loading and child.ready():
            log.info("ready replica=%s deployment=%s", replica.pk, replica.deployment)
            self._write(replica, state=ReplicaState.READY)
            self.loading.discard(replica.pk)
        else:  # a template that has ended is started again, to be there when it is needed
            self._template_of(replica)

    def _start(self, replica: Replica) -> None:
        template = self._template_of(replica)
        if template is not None and not template.ready():
            self._wait_for(template, replica)
            return
        self.waited.pop(replica.pk, None)
        self.resume_at.pop(replica.pk, None)
        try:
            child = children.start(replica, template)
        except (TimeoutError, ConnectionError) as failure:
            assert template is not None
            log.warning("template=%s is ended: %s", template.key[:8], failure)
            self.templates.drop(template.key)
            return
        except OSError as failure:
            self._lost(replica, None, f"it could not be started: {failure}.")
            return
        self.children[replica.pk] = child
        self._record()
        self.loading.add(replica.pk)
        log.info(
            "started replica=%s deployment=%s pid=%s",
            replica.pk,
            replica.deployment,
            child.identity.pid,
        )
        self._note_start(replica, child)

    def _template_of(self, replica: Replica) -> Template | None:
        return self.templates.find(replica.deployment.environment, children.model_folder(replica))

    def _wait_for(self, template: Template, replica: Replica) -> None:
        """Say so now and then: importing takes seconds. The next look tries again."""
        if replica.pk not in self.waited:
            self._record()  # of it, too
        if time.monotonic() - self.waited.get(replica.pk, -_TELL) >= _TELL:
            self.waited[replica.pk] = time.monotonic()
            told = f"the template of its environment is importing, {template.age:.0f} s"
            logs.write(logs.of_replica(replica), told)

    def _note_start(self, replica: Replica, child: Child) -> None:
        self._write(
            replica,
            state=ReplicaState.STARTING,
            pid=child.identity.pid,
            pid_started=child.identity.started,
            address=child.address,
            started_at=now(),
        )

    def _drain(self, replica: Replica, child: Child) -> None:
        if child.asked_at is None:
            child.asked_at = time.monotonic()
            self._write(replica, state=ReplicaState.DRAINING)
            child.signal(signal.SIGTERM)
        elif time.monotonic() - child.asked_at > _DRAIN:
            child.signal(signal.SIGKILL)

    def _ended(self, replica: Replica, child: Child | None) -> None:
        code = child.exit_code() if child is not None else None
        self._lost(replica, code, children.why(code, logs.of_replica(replica)))
        self._forget(replica.pk)

    def _lost(self, replica: Replica, code: int | None, why: str) -> None:
        """A replica has no process: it is gone, unless it was live, which is started again."""
        if not replica.wanted or replica.deployment.state != State.LIVE:
            self._gone(replica, code, why if replica.wanted else "")
            return
        pause = min(_FIRST_PAUSE * 2**replica.restarts, _LONGEST_PAUSE)
        self.resume_at[replica.pk] = time.monotonic() + pause
        told = f"the model server ended: {why} Starting it again in {pause:g} s"
        logs.write(logs.of_replica(replica), told)
        log.warning("replica=%s deployment=%s %s", replica.pk, replica.deployment, told)
        self._write(
            replica,
            state=ReplicaState.UNREADY,
            pid=None,
            pid_started=None,
            exit_code=code,
            restarts=replica.restarts + 1,
        )

    def _gone(self, replica: Replica, code: int | None, reason: str) -> None:
        log.info(
            "gone replica=%s deployment=%s exit_code=%s",
            replica.pk,
            replica.deployment,
            code,
        )
        self._write(
            replica,
            state=ReplicaState.GONE,
            pid=None,
            pid_started=None,
            exit_code=code,
            reason=reason[:300],
        )

    def _forget(self, pk: int) -> None:
        child = self.children.pop(pk, None)
        self.loading.discard(pk)
        if child is not None:
            child.close()
            self._record()

    def _record(self) -> None:
        try:
            record.write(process.identity for process in self._all())
        except OSError as failure:  # the rows know them too
            log.warning("could not note which replicas run: %s", failure)

    def _all(self) -> list[Child | Template]:
        """Every process that is the agent's."""
        return [*self.children.values(), *self.templates.running.values()]

    @staticmethod
    @transaction.atomic
    def _write(replica: Replica, **fields: object) -> None:
        """Note how a replica is, tell the gateway, and have its deployment looked at."""
        Replica.objects.filter(pk=replica.pk).update(**fields)
        Deployment.objects.filter(pk=replica.deployment_id).update(changes=F("changes") + 1)
        notify(ROUTES)
        transaction.on_commit(lambda: tasks.reconcile.delay(replica.deployment_id), robust=True)


@contextmanager
def _listening() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(settings.DATABASE_URL, autocommit=True, connect_timeout=5) as listener:
        listener.execute(f"LISTEN {REPLICAS}")
        yield listener
