"""A process is known by its pid and its start time: the pid alone may since belong to another."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    started: float  # seconds since the epoch, as the operating system tells it

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Who runs under this pid now. None: nobody, or a zombie."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        now = Identity.of(self.pid)
        # The kernel counts in ticks and the clock may be set: equal means within a second.
        return now is not None and abs(now.started - self.started) < 1

    def kill(self) -> None:
        """End this process alone, at once. Does nothing once it is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def kill_group(self, number: signal.Signals) -> None:
        """Send a signal to the process group that this process leads. Does nothing once it is gone."""
        if not self.alive():
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return
