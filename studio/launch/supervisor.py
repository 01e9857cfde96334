"""Starts processes, starts again those that die, and ends all of them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread

from django.core.exceptions import ImproperlyConfigured

from studio.launch.log import Log
from studio.launch.programs import Program, child_environment
from studio.lib.processes import Identity

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between a death and the next start
_STEADY = 30.0  # seconds after which a process counts as well again
_LAST_WORDS = 1.0  # seconds to read what a dead process has printed


@dataclass
class Child:
    """`process` is None when there is none, not even a dead one: as long as it is set, its pid is its own."""

    program: Program
    process: subprocess.Popen[str] | None = None
    reader: Thread = field(default_factory=Thread)
    keeper: Thread = field(default_factory=Thread)
    state: str = "starting"
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    restarts: int = 0
    lock: Lock = field(default_factory=Lock)

    def describe(self) -> dict[str, object]:
        process = self.process
        identity = Identity.of(process.pid) if process else None
        return {
            "name": self.program.name,
            "pid": identity.pid if identity else None,
            "started": identity.started if identity else None,
            "state": self.state,
            "restarts": self.restarts,
        }


class Supervisor:
    """Each process leads a group of its own, so that a Ctrl-C reaches `up` alone and an end reaches all of it."""

    def __init__(self, log: Log, record: Path) -> None:
        self.log = log
        self.record = record
        self.mark = secrets.token_hex(16)
        self.children: list[Child] = []
        self.ending = Event()
        self.writing = Lock()
        self.told = True

    def start(self, program: Program) -> None:
        child = Child(program)
        self._spawn(child)
        self.children.append(child)
        self.write_record()
        child.keeper = Thread(target=self._keep, args=[child], name=program.name, daemon=True)
        child.keeper.start()

    def end(self, names: set[str], seconds: float) -> None:
        """Ask these to end, wait that long, then kill what is left with all it has started. `ending` is set."""
        ending = [child for child in self.children if child.program.name in names]
        for child in ending:
            with child.lock:
                child.state = "stopping"
                if child.process is not None:
                    os.kill(child.process.pid, child.program.stop)
        deadline = time.monotonic() + seconds
        for child in ending:
            child.keeper.join(max(0.0, deadline - time.monotonic()))
            with child.lock:
                if child.process is not None:
                    os.killpg(child.process.pid, signal.SIGKILL)
            child.keeper.join()
            child.state = "stopped"
        self.write_record()

    def write_record(self) -> None:
        """Tell `manage.py status`, and a later `up`, what runs. On a full disk what was told before is kept."""
        with self.writing:
            told = {
                "pid": os.getpid(),
                "mark": self.mark,
                "processes": [child.describe() for child in self.children],
            }
            draft = self.record.with_suffix(".new")
            try:
                draft.write_text(json.dumps(told))
                draft.replace(self.record)
                self.told = True
            except OSError as failure:
                self.told = False
                self.log.write("up", f"could not write down what runs: {failure}")

    def write_what_was_not_told(self) -> None:
        """Once the disk takes it again."""
        if not self.told:
            self.write_record()

    def _keep(self, child: Child) -> None:
        """Wait until the child dies; start it again unless it is to end."""
        told = self._death_of(child)
        while child.state != "stopping" and not self.ending.is_set():
            if time.monotonic() - child.started > _STEADY:
                child.pause = _FIRST_PAUSE
            child.state = "restarting"
            self.log.write(child.program.name, f"{told}; starting it again in {child.pause:g} s")
            self.write_record()
            if self.ending.wait(child.pause):
                return
            child.pause = min(child.pause * 2, _LONGEST_PAUSE)
            child.restarts += 1
            try:
                self._spawn(child)
            except (OSError, ImproperlyConfigured) as failure:
                told = f"could not be started: {failure}"
                continue
            self.write_record()
            told = self._death_of(child)

    def _death_of(self, child: Child) -> str:
        """Wait until the process itself has died, whoever holds its output open; then end what it leaves behind."""
        process = child.process
        if process is None:
            return "was not started"
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with child.lock:
            # It is dead and still there, so nobody else can have its pid, nor a group of that number.
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            child.process = None
        child.reader.join(_LAST_WORDS)
        return f"ended with {_told(code)}"

    def _spawn(self, child: Child) -> None:
        with child.lock:
            if child.state == "stopping":
                return
            child.process = subprocess.Popen(
                child.program.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=child_environment(self.mark),
                start_new_session=True,
            )
            child.started = time.monotonic()
            child.state = "running"
        child.reader = Thread(
            target=self._pass_on, args=[child.program.name, child.process], daemon=True
        )
        child.reader.start()

    def _pass_on(self, name: str, process: subprocess.Popen[str]) -> None:
        """Log what it prints, to the end: what it has started may hold its output open for longer than it lives."""
        assert process.stdout is not None
        with process.stdout, contextlib.suppress(OSError):
            for line in process.stdout:
                self.log.write(name, line)


def _told(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
