"""Starts processes, starts again those that die, and ends all of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread

from studio.launch.log import Log
from studio.launch.programs import Program, child_environment
from studio.lib.processes import Identity

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between a death and the next start
_STEADY = 30.0  # seconds after which a process counts as well again


@dataclass
class Child:
    program: Program
    process: subprocess.Popen[str] | None = None
    state: str = "starting"
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    restarts: int = 0
    lock: Lock = field(default_factory=Lock)

    def describe(self) -> dict[str, object]:
        identity = Identity.of(self.process.pid) if self.process else None
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
        self.children: list[Child] = []
        self.ending = Event()

    def start(self, program: Program) -> None:
        child = Child(program)
        self.children.append(child)
        self._spawn(child)
        Thread(target=self._keep, args=[child], name=program.name, daemon=True).start()

    def end(self, names: set[str], seconds: float) -> None:
        """Ask these to end, wait that long, then kill what is left with all it has started."""
        ending = [child for child in self.children if child.program.name in names]
        for child in ending:
            with child.lock:
                child.state = "stopping"
                if child.process is not None:
                    _signal(child.process, child.program.stop, group=False)
        deadline = time.monotonic() + seconds
        for child in ending:
            if child.process is None:
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            _signal(child.process, signal.SIGKILL, group=True)
            child.process.wait()
            child.state = "stopped"
        self.write_record()

    def write_record(self) -> None:
        """Tell `manage.py status`, and a later `up`, what runs."""
        told = {
            "pid": os.getpid(),
            "processes": [child.describe() for child in self.children],
        }
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps(told))
        draft.replace(self.record)

    def _keep(self, child: Child) -> None:
        """Read what the child prints until it dies; start it again unless it is to end."""
        while child.process is not None:
            assert child.process.stdout is not None
            for line in child.process.stdout:
                self.log.write(child.program.name, line)
            code = child.process.wait()
            if child.state == "stopping" or self.ending.is_set():
                return
            _signal(child.process, signal.SIGKILL, group=True)  # what it left behind
            if time.monotonic() - child.started > _STEADY:
                child.pause = _FIRST_PAUSE
            child.state = "restarting"
            self.log.write(
                child.program.name,
                f"ended with {_told(code)}; starting it again in {child.pause:g} s",
            )
            self.write_record()
            if self.ending.wait(child.pause):
                return
            child.pause = min(child.pause * 2, _LONGEST_PAUSE)
            child.restarts += 1
            self._spawn(child)

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
                env=child_environment(),
                start_new_session=True,
            )
            child.started = time.monotonic()
            child.state = "running"
        self.write_record()


def sweep(record: Path, log: Log) -> None:
    """End what an `up` that was killed left running. Known by pid and start time, never by name."""
    if not record.exists():
        return
    left = []
    for told in json.loads(record.read_text())["processes"]:
        identity = Identity(told["pid"], told["started"]) if told["pid"] else None
        if identity and identity.alive():
            log.write(
                "up",
                f"ending {told['name']} (pid {identity.pid}), left behind by an earlier start",
            )
            # PostgreSQL's fast shutdown is SIGINT, which ends the others too.
            identity.kill_group(signal.SIGINT if told["name"] == "postgres" else signal.SIGTERM)
            left.append(identity)
    deadline = time.monotonic() + 8
    for identity in left:
        while identity.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        identity.kill_group(signal.SIGKILL)
    record.unlink()


def _signal(process: subprocess.Popen[str], number: signal.Signals, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _told(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
