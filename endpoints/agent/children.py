"""Model server processes: started, watched and ended. Each leads a process group, and outlives its agent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from endpoints import environments, logs
from endpoints.agent import accounts, sampling
from endpoints.agent.spawning import (
    end_strangers,
    fresh_folder,
    remove_folder,
    remove_left,
    spawn,
)
from endpoints.agent.templates import Template
from endpoints.models import Replica
from studio.lib.processes import Identity

# The model server's exit code for a model whose loading raised; its log holds the traceback.
LOAD_RAISED = 3
_TRACEBACK = "Traceback (most recent call last)"
_MANY = 10_000  # lines: a traceback may be long


@dataclass
class Child:
    """A replica's process. `exit_watch` is a descriptor that becomes readable when it ends."""

    replica: int
    identity: Identity
    address: str
    exit_watch: int
    parent: subprocess.Popen[bytes] | Template | None = None  # None: of an earlier agent
    asked_at: float | None = None  # when it was asked to end, monotonic seconds
    family: list[Identity] = field(default_factory=list)  # its processes at that time

    def signal(self, number: signal.Signals) -> None:
        self.identity.kill_group(number)

    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None where nobody is left who was told."""
        self._end_rest()
        if isinstance(self.parent, Template):
            return self.parent.code_of(self.identity.pid)
        return self.parent.wait() if self.parent is not None else None

    def ask_to_end(self) -> None:
        """What it has started is remembered: once it has ended, nobody can tell whose that was."""
        self.asked_at = time.monotonic()
        self.family = sampling.members(self.identity)
        self.signal(signal.SIGTERM)

    def _end_rest(self) -> None:
        """Kill what the model has started and left behind."""
        for member in self.family:
            member.kill()
        pid = self.identity.pid
        if not isinstance(self.parent, subprocess.Popen) and Identity.of(pid) is not None:
            return  # it lives, or the pid, and with it the group, is another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def close(self) -> None:
        os.close(self.exit_watch)
        for folder in (_work_folder(self.replica), _socket_folder(self.replica)):
            remove_folder(folder)


def start(replica: Replica, template: Template | None = None) -> Child:
    """Start the model server of a replica, as a fork of the template if there is one.

    Raises OSError when it cannot be started at all; TimeoutError or ConnectionError when the template does
    not answer: once that has ended, `sweep` ends what it may have forked.
    """
    python = environments.python_of(replica.deployment.environment)
    model = model_folder(replica)
    place, meeting = (
        fresh_folder(_work_folder(replica.pk)),
        fresh_folder(_socket_folder(replica.pk)),
    )
    address = str(meeting / "s")
    if template is not None:  # a fork runs as what forks it
        account = accounts.of_process(template.identity.pid)
    else:
        account = accounts.of_replica(replica.pk, replica.deployment.environment, python)
    accounts.hand_over(account, model, place, meeting)
    log = logs.of_replica(replica)
    if template is not None:
        with logs.for_output(log) as output:
            pid = template.fork(model, address, place, output.fileno())
        return _child(replica.pk, pid, address, template)
    command = [str(python), "-m", "model_server", "--model", str(model), "--socket", address]
    process = spawn(command, place, log, account)
    return _child(replica.pk, process.pid, address, process)


def _child(
    replica: int, pid: int, address: str, parent: subprocess.Popen[bytes] | Template
) -> Child:
    identity = Identity.of(pid) or Identity(pid, 0.0)
    try:
        return Child(replica, identity, address, os.pidfd_open(pid), parent)
    except ProcessLookupError as gone:
        raise OSError("it ended at once") from gone


def sweep(replica: Replica) -> None:
    """End whatever runs for a replica that has no child."""
    end_strangers(_work_folder(replica.pk), set())


def sweep_all(known: set[int]) -> None:
    """End what runs for replicas in none of these sessions, and delete what is left of earlier ones."""
    parent = _work_folder(0).parent
    end_strangers(parent, known)
    for place in (parent, Path(settings.HOME.sockets)):
        remove_left(place)


def model_folder(replica: Replica) -> Path:
    return Path(settings.HOME.models) / str(replica.deployment_id)


def adopt(replica: Replica) -> Child | None:
    """Take over the process that an earlier agent has started for this replica. None: it is gone."""
    identity = Identity(replica.pid or 0, replica.pid_started or 0.0)
    if not identity.alive():
        return None
    try:
        return Child(replica.pk, identity, replica.address, os.pidfd_open(identity.pid))
    except ProcessLookupError:
        return None


def _work_folder(replica: int) -> Path:
    """Where a replica may write: models leave files in the folder that they are started in."""
    return Path(settings.HOME.root) / "replicas" / str(replica)


def _socket_folder(replica: int) -> Path:
    """Where the replica makes its socket: a folder of its own, since it may have an account of its own."""
    return Path(settings.HOME.sockets) / f"replica-{replica}"


def why(code: int | None, log: Path) -> str:
    """An exit code in words. A model may end with any code of its own: an error is told only where `log` shows one."""
    match code:
        case None:
            return "how it ended is not known."
        case 0:
            return "it ended by itself."
        case code if code == LOAD_RAISED and _TRACEBACK in logs.tail(log, _MANY):
            return "its code raised an error, which the log shows."
        case code if code < 0:
            name = signal.Signals(-code).name
            return f"it was ended by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}."
    return f"it ended with exit code {code}."
