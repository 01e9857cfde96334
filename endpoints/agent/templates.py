"""Template processes: one per environment, which has imported what its models need and forks replicas at once.

They outlive the agent as replicas do, and are found again by their sockets.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from endpoints import environments
from endpoints.agent import accounts
from endpoints.agent.spawning import fresh_folder, remove_folder, spawn
from registry.mlmodel import read as read_mlmodel
from studio.lib import peers
from studio.lib.errors import StudioError
from studio.lib.processes import Identity

log = logging.getLogger(__name__)

IDLE = 600.0  # seconds without replicas after which one ends
MEMORY_MB = 1024  # what one may hold
_IMPORT_PATIENCE = 120.0  # seconds
_ANSWER_PATIENCE = 2.0  # seconds: a fork takes milliseconds
_CODE_PATIENCE = 1.0  # seconds from a replica's end to its exit code
_FAILED_FOR = 600.0  # seconds without a template after one that could not be started
_OFTEN = 2  # in a row: one that does not fork is not tried again for a while
_LARGEST = 64 * 1024  # bytes of one packet


@dataclass
class Template:
    """One template process. Connected, it is ready to fork."""

    key: str
    identity: Identity
    exit_watch: int
    process: subprocess.Popen[bytes] | None = None  # None: adopted from an earlier agent
    connection: socket.socket | None = None
    codes: dict[int, int] = field(default_factory=dict)  # exit codes by pid, not asked for yet
    began: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    proved: bool = False  # it has forked
    mute: bool = False  # it has not told of an end in time

    @property
    def age(self) -> float:
        """Seconds since it was started, or adopted."""
        return time.monotonic() - self.began

    def ready(self) -> bool:
        """Whether it can fork. It listens only once it has imported all."""
        if self.connection is None:
            self.connection = self._connected()
        self.was_ready |= self.connection is not None
        return self.connection is not None

    def _connected(self) -> socket.socket | None:
        """Whoever else listens there is not it: replicas have its account, and may write where its socket is."""
        connection = _connect(address(self.key))
        if connection is None or peers.pid_of(connection) == self.identity.pid:
            return connection
        connection.close()
        return None

    def fork(self, model: Path, replica: str, folder: Path, output: int) -> int:
        """Fork a replica that serves `model` on the socket `replica`. Returns its pid.

        Raises OSError when there is none; TimeoutError or ConnectionError when the template does not answer.
        """
        asked = {"model": str(model), "socket": replica, "folder": str(folder)}
        self._send(json.dumps(asked).encode(), output)
        deadline = time.monotonic() + _ANSWER_PATIENCE
        while self.connection is not None and time.monotonic() < deadline:
            for told in self._packets(deadline - time.monotonic()):
                if "pid" in told:
                    return self._child(told["pid"])
                if "error" in told:
                    raise OSError(told["error"])
        raise TimeoutError(f"the template {self.key[:8]} does not answer")

    def _send(self, packet: bytes, descriptor: int) -> None:
        assert self.connection is not None
        try:
            socket.send_fds(self.connection, [packet], [descriptor])
        except BlockingIOError as full:
            raise TimeoutError(f"the template {self.key[:8]} does not listen") from full

    def _child(self, pid: object) -> int:
        """The pid, if a child of this process has it: its packages are not ours, and we shall end what has this pid."""
        try:
            if isinstance(pid, int) and psutil.Process(pid).ppid() == self.identity.pid:
                self.proved = True
                return pid
        except (psutil.Error, ValueError):
            pass
        raise ConnectionError(f"the template {self.key[:8]} tells of no child of its own")

    def code_of(self, pid: int) -> int | None:
        """The exit code of a replica that has ended, negative for a signal. None: the template is gone, too."""
        deadline = time.monotonic() + (0 if self.mute else _CODE_PATIENCE)
        list(self._packets(0))
        while pid not in self.codes and self.connection is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                self.mute = True
                break
            list(self._packets(left))
        return self.codes.pop(pid, None)

    def hear(self) -> None:
        """Take in what it has told of replicas that ended."""
        if self.connection is not None:
            list(self._packets(0))

    @property
    def alive(self) -> bool:
        return not select.select([self.exit_watch], [], [], 0)[0]

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.identity.kill_group(number)

    def close(self) -> None:
        """Forget a template that has ended. What it forked at the last moment ends when its replica is started."""
        list(self._packets(0))
        if self.process is not None:
            self.process.wait()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        os.close(self.exit_watch)
        remove_folder(address(self.key).parent)

    def _packets(self, patience: float) -> Iterator[dict[str, Any]]:
        """What has come, waited for that long. Exit codes are kept; the rest is returned."""
        while self.connection is not None:
            if not select.select([self.connection], [], [], max(0.0, patience))[0]:
                return
            try:
                packet = self.connection.recv(_LARGEST)
            except OSError:
                packet = b""
            told = _understood(packet)
            if told is None:
                self.connection.close()
                self.connection = None
                return
            if "ended" in told:
                self.codes[told["ended"]] = told["code"]
                self.mute = False
            yield told
            patience = 0


def _understood(packet: bytes) -> dict[str, Any] | None:
    """What a packet tells. None: it is the end, or nothing that a template says."""
    try:
        told = json.loads(packet)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    of_an_end = ("ended", "code") if "ended" in told else ()
    return told if all(isinstance(told.get(key), int) for key in of_an_end) else None


class Templates:
    """The templates of this host, by the key of their environment."""

    def __init__(self) -> None:
        self.running: dict[str, Template] = {}
        self._failed_at: dict[str, float] = {}
        self._dropped: dict[str, int] = {}  # how often in a row, without a fork

    def adopt(self, noted: set[int]) -> None:
        """Find again those of an earlier agent, which has noted these pids, replicas apart.

        One that was still importing cannot be found, and is swept.
        """
        for path in settings.HOME.sockets.glob(f"{_PREFIX}*/s"):
            template = _found(path, noted)
            if template is None:
                remove_folder(path.parent)
            elif template.key not in self.running:
                self.running[template.key] = template
                log.info("adopted template=%s pid=%s", template.key[:8], template.identity.pid)

    def find(self, key: str, model: Path) -> Template | None:
        """The environment's template, started if there is none. None: replicas are to start by themselves."""
        if key in self.running:
            return self.running[key]
        failed = self._failed_at.get(key)
        if failed is not None and time.monotonic() - failed < _FAILED_FOR:
            return None
        if not _has_mlflow(environments.folder(key)):
            return None
        try:
            self.running[key] = _start(key, model)
        except (OSError, StudioError) as failure:
            self._give_up(key, str(failure))
            return None
        return self.running[key]

    def look(self) -> None:
        """Hear them, and forget those that have ended; give up one that imports for too long."""
        for key, template in list(self.running.items()):
            template.hear()
            if not template.ready() and not template.was_ready and template.age > _IMPORT_PATIENCE:
                template.end()
            if not template.alive:
                self._forget(key)

    def drop(self, key: str) -> None:
        """End a template that does not do as it should. The next need starts another."""
        template = self.running.pop(key)
        template.end()
        select.select([template.exit_watch], [], [], _ANSWER_PATIENCE)
        template.close()
        self._dropped[key] = 1 if template.proved else self._dropped.get(key, 0) + 1
        if self._dropped[key] > _OFTEN:
            self._give_up(key, "it does not fork")

    def end_all(self) -> None:
        for key in list(self.running):
            self.drop(key)

    def _forget(self, key: str) -> None:
        template = self.running.pop(key)
        template.close()
        code = template.process.returncode if template.process is not None else None
        log.info("ended template=%s exit_code=%s", key[:8], code)
        if code == TOO_BIG or not template.was_ready:
            self._give_up(key, f"exit code {code}")

    def _give_up(self, key: str, why: str) -> None:
        log.warning(
            "no template=%s for %.0f s, replicas start by themselves: %s",
            key[:8],
            _FAILED_FOR,
            why,
        )
        self._failed_at[key] = time.monotonic()
        self._dropped.pop(key, None)


TOO_BIG = 5  # the template's exit code when it holds more than it may
_PREFIX = "template-"


def address(key: str) -> Path:
    """Its socket, in a folder of its own: it may have an account of its own."""
    return Path(settings.HOME.sockets) / f"{_PREFIX}{key}" / "s"


def log_of(key: str) -> Path:
    return Path(settings.HOME.logs) / "templates" / f"{key}.log"


def _start(key: str, model: Path) -> Template:
    """Start one for models like this. Raises OSError, and StudioError when the model's files cannot be read."""
    python = environments.python_of(key)
    command = [str(python), "-m", "model_server.template", "--socket", str(address(key))]
    command += ["--idle", str(IDLE), "--memory-mb", str(MEMORY_MB)]
    for flavor in read_mlmodel(model).flavors:
        command += ["--flavor", flavor]
    log_of(key).unlink(missing_ok=True)  # the last one's is enough
    place = fresh_folder(Path(settings.HOME.root) / "replicas" / f"{_PREFIX}{key}")
    account = accounts.of_template(key, python)
    accounts.hand_over(account, model, place, fresh_folder(address(key).parent))
    process = spawn(command, place, log_of(key), account)
    identity = Identity.of(process.pid) or Identity(process.pid, 0.0)  # it may have ended already
    log.info("started template=%s pid=%s", key[:8], process.pid)
    return Template(key, identity, os.pidfd_open(process.pid), process)


def _found(path: Path, noted: set[int]) -> Template | None:
    """The template that listens on this socket, of an earlier agent. None: nobody does, or another."""
    connection = _connect(path)
    if connection is None:
        return None
    identity = Identity.of(peers.pid_of(connection))
    if identity is None or identity.pid not in noted:
        connection.close()
        return None
    key = path.parent.name.removeprefix(_PREFIX)
    watch = os.pidfd_open(identity.pid)
    return Template(key, identity, watch, connection=connection, was_ready=True)


def _has_mlflow(environment: Path) -> bool:
    return any(environment.glob("lib/python3*/site-packages/mlflow"))


def _connect(path: Path) -> socket.socket | None:
    """None: nobody listens there, not yet or no longer, or too many wait."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    with contextlib.suppress(OSError):
        connection.connect(str(path))
        return connection
    connection.close()
    return None
