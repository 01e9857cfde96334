"""Ends what an `up` that was killed left running, before the next one starts."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil

from studio.launch.log import Log
from studio.launch.programs import MARK
from studio.lib.processes import Identity

_SIGNALS = {
    "postgres": signal.SIGINT,  # its fast shutdown
    "agent": signal.SIGKILL,  # asked to end it would end the replicas, which the next agent takes over
}
_PATIENCE, _LAST = 6.0, 2.0  # seconds to end by themselves, and to be gone when killed


def sweep(record: Path, log: Log) -> None:
    """End all of it, and forget it. Known by pid and start time, or by their mark; never by name."""
    if not record.exists():
        return
    told = json.loads(record.read_text())
    started = [one for one in told["processes"] if one["pid"]]
    leaders = {Identity(one["pid"], one["started"]): one["name"] for one in started}
    for leader, name in leaders.items():
        if leader.alive():
            log.write("up", f"ending {name} (pid {leader.pid}), left behind by an earlier start")
            leader.kill_group(_SIGNALS.get(name, signal.SIGTERM))
    _wait(list(leaders), _PATIENCE)
    for leader in leaders:
        leader.kill_group(signal.SIGKILL)
    _end_orphans(told.get("mark", ""), {leader.pid for leader in leaders}, log)
    _wait(list(leaders), _LAST)
    record.unlink()


def _end_orphans(mark: str, groups: set[int], log: Log) -> None:
    """Until there are none: what is killed may have started another just before."""
    told: set[Identity] = set()
    deadline = time.monotonic() + _LAST
    while (orphans := _orphans(mark, groups)) and time.monotonic() < deadline:
        for orphan in orphans:
            if orphan not in told:
                log.write("up", f"ending pid {orphan.pid}, left behind by a process that has died")
            orphan.kill()
        told.update(orphans)
        time.sleep(0.05)


def _orphans(mark: str, groups: set[int]) -> list[Identity]:
    """What those processes have started and left behind: who leads it is dead.

    A pid may be another's by now, and a group's number too, once the group is empty. But nobody else's
    process has the random mark in its environment. And a group with a marked process in it is still the
    recorded one, with all who are in it: the kernel gives no number away that a group has.
    """
    pids = psutil.pids()
    marked = [pid for pid in pids if mark and _mark_of(pid) == mark]
    ours = groups & {_group_of(pid) for pid in marked}
    found = [Identity.of(pid) for pid in pids if pid in marked or _group_of(pid) in ours]
    return [identity for identity in found if identity is not None]


def _mark_of(pid: int) -> str | None:
    """None too for a process of another user, whose environment is not to be read, and for one that is dead."""
    try:
        return psutil.Process(pid).environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _wait(ending: list[Identity], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(Identity.alive, ending)) and time.monotonic() < deadline:
        time.sleep(0.05)
