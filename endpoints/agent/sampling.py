"""What replicas hold and use: measured in a thread, since the kernel walks all pages of a process to tell.

Measured: a process costs 2 ms for each GiB that it holds, on a busy machine up to 9, and the look at all
processes of the machine 10 µs for each of them. Eight replicas of 512 MiB each, sampled twice a second, added
0.2 ms to what another thread waits.

Between two samples a replica may hold more than its limit, and the system may end it, or another, before we do.
What it has started counts unless it has left both its session and its parents.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Condition, Thread

from studio.lib.memory import memory_of as memory_of
from studio.lib.processes import Identity

log = logging.getLogger(__name__)

CALM = 3.0  # seconds between samples of a replica
HURRIED = 0.5  # seconds, while it loads or is near its limit
_NEAR = 0.8  # of the limit
_SHARE = 0.05  # of a core, at most, that sampling one replica may take
_TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, in a second
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """A replica's process to sample. `limit` is in bytes."""

    identity: Identity
    limit: int
    loading: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What a replica's processes held, and of one core used since the sample before, in percent."""

    identity: Identity
    memory: int  # bytes
    cpu: float | None  # None: it is the first
    used: float  # seconds of processor time, all in all
    at: float  # monotonic seconds
    took: float  # seconds of processor time


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    group: int
    session: int
    used: float  # seconds of processor time, with that of children that ended


class Sampler:
    """Samples what it is told to follow, each as often as it needs. `woken` gets readable when one is over its limit."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._subjects: dict[int, Subject] = {}
        self._samples: dict[int, Sample] = {}
        self._thread: Thread | None = None
        self.woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def follow(self, subjects: Mapping[int, Subject]) -> None:
        """From now on sample these, by replica, and no others."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.woken, 4096)
        with self._changed:
            self._subjects = dict(subjects)
            for pk in [*self._samples]:
                if self._current(pk) is None:
                    del self._samples[pk]
            self._changed.notify()
        if subjects and (self._thread is None or not self._thread.is_alive()):
            self._thread = Thread(target=self._run, name="sampling", daemon=True)
            self._thread.start()

    def latest(self, pk: int) -> Sample | None:
        """The last sample of the process that is followed. None: there is none yet."""
        with self._changed:
            return self._current(pk)

    def limit(self, pk: int) -> int:
        """Of the process that is followed, in bytes."""
        with self._changed:
            return self._subjects[pk].limit if pk in self._subjects else 0

    def close(self) -> None:
        """Follow nothing any more. Once is enough, and twice does no harm."""
        with self._changed:
            self._subjects = {}
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(1)  # a process that hangs in the kernel may keep it
        for descriptor in (self.woken, self._wake) if self.woken >= 0 else ():
            os.close(descriptor)
        self.woken = self._wake = -1

    def _current(self, pk: int) -> Sample | None:
        sample, subject = self._samples.get(pk), self._subjects.get(pk)
        if sample is None or subject is None or sample.identity != subject.identity:
            return None
        return sample

    def _run(self) -> None:
        """Until there is nothing to follow."""
        while True:
            with self._changed:
                if not self._subjects:
                    self._thread = None
                    return
                now = time.monotonic()
                due = {pk: self._due(pk) for pk in self._subjects}
                wanted = {pk: self._subjects[pk] for pk, at in due.items() if at <= now}
                if not wanted:
                    self._changed.wait(min(due.values()) - now)
                    continue
                before = {pk: self._current(pk) for pk in wanted}
            self._take(wanted, before)

    def _due(self, pk: int) -> float:
        """When it is to be sampled next, monotonic seconds."""
        last, subject = self._current(pk), self._subjects[pk]
        if last is None:
            return 0.0
        hurried = subject.loading or last.memory > _NEAR * subject.limit
        return last.at + max(HURRIED if hurried else CALM, last.took / _SHARE)

    def _take(self, wanted: dict[int, Subject], before: dict[int, Sample | None]) -> None:
        processes = _processes()
        taken = {pk: _sample(wanted[pk].identity, processes, before[pk]) for pk in wanted}
        with self._changed:
            self._samples |= taken
        if any(taken[pk].memory > wanted[pk].limit for pk in wanted):
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"!")


def members(leader: Identity) -> list[Identity]:
    """Who belongs to a replica now: its process, its group and session, and all that descend from them."""
    return [
        found for pid in _tree(leader.pid, _processes()) if (found := Identity.of(pid)) is not None
    ]


def _sample(identity: Identity, processes: dict[int, _Process], last: Sample | None) -> Sample:
    began, at = time.thread_time(), time.monotonic()
    tree = _tree(identity.pid, processes)
    memory = sum(map(memory_of, tree))
    used = sum(processes[pid].used for pid in tree)
    cpu = None if last is None else max(0.0, 100 * (used - last.used) / (at - last.at))
    return Sample(identity, memory, cpu, used, at, time.thread_time() - began)


def _tree(leader: int, processes: dict[int, _Process]) -> set[int]:
    """Children of a process that has ended have another parent, but still its group or session."""
    found = {
        pid for pid, process in processes.items() if leader in (pid, process.group, process.session)
    }
    while added := {pid for pid, process in processes.items() if process.parent in found} - found:
        found |= added
    return found


def _processes() -> dict[int, _Process]:
    """All processes of the machine, those that we are shown."""
    names = os.listdir("/proc")  # noqa: PTH208 - a Path for each of a thousand processes costs more than the rest
    return dict(_read(int(name) for name in names if name.isdigit()))


def _read(pids: Iterable[int]) -> Iterable[tuple[int, _Process]]:
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
                told = file.read()
        except OSError:  # it has ended meanwhile
            continue
        # After the command's name, which may hold anything: state, parent, group, session; proc(5).
        fields = told[told.rindex(b")") + 2 :].split()
        used = sum(map(int, fields[11:15])) / _TICKS
        yield pid, _Process(int(fields[1]), int(fields[2]), int(fields[3]), used)
