"""The agent: makes this host's replicas be what their rows want, and their rows say what they are."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F, functions
from django.utils.timezone import now

from endpoints import logs
from endpoints.agent import accounts, children, pulse, record, restarts
from endpoints.agent.children import Child
from endpoints.agent.restarts import Restarts
from endpoints.agent.telling import teller
from endpoints.agent.templates import Template, Templates
from endpoints.agent.watching import Watch
from endpoints.models import Agent as AgentRow
from endpoints.models import Deployment, Replica, ReplicaState, State
from studio.lib.notify import REPLICAS, ROUTES, notify
from studio.lib.processes import Identity

log = logging.getLogger(__name__)

_BEAT = 3.0  # seconds between signs of life, and between looks at the rows when nothing wakes us
_PROBE = 0.1  # seconds between questions to a replica that loads
_TELL = 2.0  # seconds between lines about a wait
_DRAIN = 10.0  # seconds for a replica to finish what it answers
_END = 3.0  # seconds for all of them when Studio stops
# What is no longer true of a replica whose process has ended.
_NO_PROCESS: dict[str, Any] = {
    "pid": None,
    "pid_started": None,
    "memory_bytes": None,
    "cpu_percent": None,
}


class Agent:
    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        self.stopping = stopping
        self.host = socket.gethostname()
        self.home = settings.HOME.id
        self.children: dict[int, Child] = {}
        self.templates = Templates()
        self.waited: dict[int, float] = {}  # for a template: when that was last said
        self.loading: set[int] = set()
        self.watching = Watch()
        self.restarts = Restarts()
        self.causes: dict[int, str] = {}  # why we have killed one
        self.resume_at: dict[
            int, float
        ] = {}  # when a replica that ended is started again, monotonic seconds
        self.adopted = self.away = False  # away: the database, and it has been told
        self.noted: list[Identity] | None = None  # what the record says
        # A signal writes a byte here, so that it ends the wait for events at once.
        self.woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)

    def run(self) -> None:
        """Work until it is to stop. A database that goes away is waited for; children go on meanwhile."""
        accounts.prepare()
        while not self.stopping():
            try:
                with _listening() as listener:
                    self.adopt()
                    while not self.stopping():
                        self.beat()
                        self.away = False
                        self.reconcile()
                        self.wait(listener)
            except (DatabaseError, psycopg.Error) as failure:
                if not self.away:  # nobody needs a line for each attempt
                    reason = str(failure).partition("\n")[0]
                    log.warning("database away, children go on: %s", reason)
                self.away = True
                connection.close()
                self.guard()
                time.sleep(0.5)
        self.end_all()
        record.end_all(_END)  # those of an earlier agent that could not be adopted

    def beat(self) -> None:
        AgentRow.objects.update_or_create(
            host=self.host,
            defaults={
                "home": self.home,
                "pid": os.getpid(),
                "seen_at": functions.Now(),
                "warning": accounts.warning(),
            },
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
        noted = record.read()
        of_replicas = {child.identity.pid for child in self.children.values()}
        self.templates.adopt({identity.pid for identity in noted} - of_replicas)
        known = {process.identity.pid for process in self._all()}
        for identity in noted:
            if identity.pid not in known:  # unknown to its row, or a template without a socket
                identity.kill_group(signal.SIGKILL)
        children.sweep_all(known)
        self.adopted = True
        self._record()

    def reconcile(self) -> None:
        """One look: end what is not wanted, note what has ended or got ready, start what is missing."""
        self.templates.look()
        rows = {
            row.pk: row
            for row in Replica.objects.present().select_related("deployment__endpoint", "attempt")
        }
        self.watching.look(rows, self.children, self.loading)
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
        self.restarts.keep(rows)
        restarts.clear_loops(rows.values(), self.restarts)
        self._record()

    def guard(self) -> None:
        """What does not wait for the database: a replica that holds too much is ended, and told of later."""
        for pk, child in self.children.items():
            if cause := self.watching.too_much(pk):
                self.causes.setdefault(pk, cause)
                log.warning("replica=%s is ended: %s", pk, cause)
                self.watching.kill(child)

    def wait(self, listener: psycopg.Connection[tuple[object, ...]]) -> None:
        """Sleep until a child ends, a row is said to have changed, or it is time to look anyway."""
        with selectors.DefaultSelector() as selector:
            selector.register(listener.fileno(), selectors.EVENT_READ)
            selector.register(self.woken, selectors.EVENT_READ)
            for process in self._all():
                selector.register(process.exit_watch, selectors.EVENT_READ)
            for descriptor in self.watching.descriptors():
                selector.register(descriptor, selectors.EVENT_READ)
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
        self.watching.close()
        for child in self.children.values():
            child.ask_to_end()
        self.templates.end_all()
        deadline = time.monotonic() + _END
        for child in self.children.values():
            select.select([child.exit_watch], [], [], max(0.0, deadline - time.monotonic()))
            child.signal(signal.SIGKILL)
            child.exit_code()
        try:
            live = Replica.objects.filter(pk__in=self.children)
            live.update(state=ReplicaState.STARTING, **_NO_PROCESS)
        except (
            DatabaseError
        ) as failure:  # the next agent finds the processes gone and starts them again
            log.warning("could not note the end of %s replicas: %s", len(self.children), failure)

    def _patience(self) -> float:
        """Seconds until there is something to do by the clock."""
        moments = [_BEAT, self.watching.patience()]
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
        elif cause := self.watching.cause(replica, loading=replica.pk in self.loading):
            self._kill(replica, child, cause)
        elif replica.pk in self.loading and self.watching.well(replica.pk):
            log.info("ready replica=%s deployment=%s", replica.pk, replica.deployment)
            self._write(replica, state=ReplicaState.READY)
            self.loading.discard(replica.pk)
        else:
            self._note_answers(replica)
            # One that has ended is started again, to be there when it is needed.
            self._template_of(replica)

    def _note_answers(self, replica: Replica) -> None:
        """While a replica does not answer it is not ready: the gateway sends its requests to others."""
        silent = self.watching.silence(replica.pk) >= pulse.SILENT
        if replica.state == ReplicaState.READY and silent:
            self.restarts.unready(replica.pk)
            told = (
                f"it has not answered for {pulse.SILENT:.0f} s and gets no requests until it does."
            )
            self._say(replica, told)
            self._write(replica, state=ReplicaState.UNREADY, reason=told)
        elif replica.state == ReplicaState.UNREADY and self.watching.well(replica.pk):
            self._say(replica, "it answers again.")
            self._write(replica, state=ReplicaState.READY, reason="")
        elif replica.state == ReplicaState.READY:
            self.restarts.ready(replica.pk)

    def _kill(self, replica: Replica, child: Child, cause: str) -> None:
        if replica.pk not in self.causes:  # else it has been, and takes a moment to end
            self.causes[replica.pk] = cause
            self._say(replica, f"it is ended: {cause}")
        self.watching.kill(child)

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
            children.sweep(replica)
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
            self._write(replica, state=ReplicaState.DRAINING)
            child.ask_to_end()
        elif time.monotonic() - child.asked_at > _DRAIN:
            child.signal(signal.SIGKILL)

    def _ended(self, replica: Replica, child: Child | None) -> None:
        code = child.exit_code() if child is not None else None
        why = self.causes.get(replica.pk) or children.why(code, logs.of_replica(replica))
        self._lost(replica, code, why)
        self._forget(replica.pk)

    def _lost(self, replica: Replica, code: int | None, why: str) -> None:
        """A replica has no process: it is gone, unless it was live, which is started again."""
        if not replica.wanted or replica.deployment.state != State.LIVE:
            self._gone(replica, code, why if replica.wanted else "")
            return
        ends = self.restarts.ended(replica.pk)
        pause = restarts.pause_after(ends)
        self.resume_at[replica.pk] = time.monotonic() + pause
        self._say(replica, f"the model server ended: {why} Starting it again in {pause:g} s")
        if ends >= restarts.LOOP:
            restarts.tell_loop(replica, ends, why)
        self._write(
            replica,
            state=ReplicaState.UNREADY,
            exit_code=code,
            reason=why[:300],
            restarts=replica.restarts + 1,
            **_NO_PROCESS,
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
            exit_code=code,
            reason=reason[:300],
            **_NO_PROCESS,
        )
        with contextlib.suppress(OSError):  # what is not removed now is the next time
            logs.remove_old(replica.deployment)

    def _forget(self, pk: int) -> None:
        child = self.children.pop(pk, None)
        self.loading.discard(pk)
        self.causes.pop(pk, None)
        if child is not None:
            child.close()
            self._record()

    @staticmethod
    def _say(replica: Replica, told: str) -> None:
        """Into the replica's log, and into ours."""
        log.warning("replica=%s deployment=%s %s", replica.pk, replica.deployment, told)
        try:
            logs.write(logs.of_replica(replica), told)
        except OSError as failure:
            log.warning("could not write to the log of replica=%s: %s", replica.pk, failure)

    def _record(self) -> None:
        running = [process.identity for process in self._all()]
        if running == self.noted:
            return
        try:
            record.write(running)
            self.noted = running
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
        transaction.on_commit(lambda: teller.tell(replica.deployment_id), robust=True)


@contextmanager
def _listening() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(settings.DATABASE_URL, autocommit=True, connect_timeout=5) as listener:
        listener.execute(f"LISTEN {REPLICAS}")
        yield listener
