"""A process is known by its pid and its start time: the pid alone may since belong to another."""

from __future__ import annotations

import contextlib
import os
import signal
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # of the kernel's, in a second


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    started: float  # seconds from the machine's boot, and a number of that boot: no clock that is set moves it

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Who runs under this pid now. None: nobody, or a zombie."""
        try:
            told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        state, *fields = told.rpartition(")")[2].split()  # the name before it may hold anything
        return None if state in "ZX" else cls(pid, _boot() + int(fields[18]) / _TICKS)

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

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


@cache
def _boot() -> float:
    """A number of this boot, far above the seconds from it: what ran before another boot is not taken for alive."""
    told = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    return (zlib.crc32(told) % 10_000) * 1e8
