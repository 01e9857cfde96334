"""What web's requests count for: in memory as they come, in a file each for all workers of this address.

Whichever worker is asked tells the sum. It must never go backwards, or Prometheus would take it for a restart and
count everything anew: what a worker has told is in its file first, and the file of one that has died is added to
`base.json` before it goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from django.conf import settings

from studio.health.routes import method_of
from studio.health.windows import Windows
from studio.lib import metrics
from studio.lib.processes import Identity

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between writings: as much is lost of a worker that is killed
MOST = 300  # routes: of what comes beyond, one


class InFlight:
    """How many requests are under way. A lock, since threads share it."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.number += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.number -= 1


@dataclass
class Totals:
    """Counts and times by what they count; the first of a key is the metric."""

    counts: dict[tuple[str, ...], float] = field(default_factory=dict)
    times: dict[tuple[str, ...], list[float]] = field(default_factory=dict)
    in_flight: int = 0

    def add(self, told: dict[str, Any]) -> None:
        for *key, number in told["counts"]:
            self.counts[tuple(key)] = self.counts.get(tuple(key), 0) + number
        for *key, times in told["times"]:
            known = self.times.setdefault(tuple(key), metrics.empty_times())
            if len(known) == len(times):
                known[:] = [a + b for a, b in zip(known, times, strict=True)]

    def told(self) -> dict[str, Any]:
        return {
            "counts": [[*key, number] for key, number in self.counts.items()],
            "times": [[*key, times] for key, times in self.times.items()],
        }


class Counters:
    """One worker's."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self.windows = Windows()
        self._lock = Lock()
        self._totals = Totals()
        self._routes: set[str] = set()
        self._changes = self._written = 0

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request that was answered. Costs a few microseconds: a test measures it."""
        with self._lock:
            if route not in self._routes:
                if len(self._routes) < MOST:
                    self._routes.add(route)
                else:
                    route = "other"
            self._count("http_requests", route, method_of(method), f"{status // 100}xx")
            self._time(seconds, "http_request", route)
            self.windows.note(f"{method_of(method)} {route}", seconds)

    def note_reference(self, status: int | None, seconds: float) -> None:
        """A call to MLflow's server. None: it did not answer."""
        with self._lock:
            self._count("reference_requests", f"{status // 100}xx" if status else "none")
            self._time(seconds, "reference_request")

    def told(self) -> dict[str, Any]:
        with self._lock:
            return self._totals.told()

    def _count(self, *key: str) -> None:
        self._totals.counts[key] = self._totals.counts.get(key, 0) + 1
        self._changes += 1

    def _time(self, seconds: float, *key: str) -> None:
        times = self._totals.times.get(key)
        if times is None:
            times = self._totals.times[key] = metrics.empty_times()
        metrics.add(times, seconds)


class Shared:
    """The files of all workers that serve one address."""

    def __init__(self, folder: Path, own: Counters) -> None:
        self.folder = folder
        self._own = own
        self._told: dict[str, Any] | None = None
        self._lock = Lock()  # the thread that writes, and requests for the total

    def write(self) -> None:
        """Note what this worker has counted, if that has changed. Raises OSError."""
        with self._lock:
            told = self._now()
            if told == self._told:
                return
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self.folder / f"{_me()}.json", told)
            self._told = told

    def total(self) -> Totals:
        """The sum of all workers, those that have died too.

        On a disk that takes nothing this one's are told from memory, and the others' as they were written last.
        """
        with self._alone() as alone:
            own, name = self._kept(), _me()
            base = _read(self.folder / "base.json") or {"counts": [], "times": [], "folded": []}
            total, dead = Totals(), []
            total.add(base)
            for path in self.folder.glob("*-*.json"):
                if own and path.stem == name:
                    continue
                told = None if path.stem in base["folded"] else _read(path)
                total.add(told or {"counts": [], "times": []})
                if _lives(path.stem):
                    total.in_flight += told["in_flight"] if told else 0
                else:
                    dead.append((path, told))
            if own:
                total.add(own)
                total.in_flight += own["in_flight"]
            elif alone:
                with contextlib.suppress(OSError):  # the next who is asked tries again
                    self._fold(base, dead)
        return total

    def _now(self) -> dict[str, Any]:
        return self._own.told() | {"in_flight": self._own.in_flight.number}

    def _kept(self) -> dict[str, Any] | None:
        """What this worker has counted, where it cannot be written."""
        try:
            self.write()
        except OSError:
            return self._now()
        return None

    def keep_writing(self) -> None:
        """From now on, until the process ends."""
        Thread(target=self._keep_writing, name="counters", daemon=True).start()

    def _keep_writing(self) -> None:
        never, told = Event(), False
        while not never.wait(EVERY):
            try:
                self.write()
                told = False
            except OSError as failure:  # a full disk, say: what is counted stays in memory
                if not told:
                    log.warning("metrics are not written: %s", failure)
                told = True

    def _fold(self, base: dict[str, Any], dead: list[tuple[Path, dict[str, Any] | None]]) -> None:
        """Add to the base what the dead have left. Their names go with it, until their files have gone."""
        if not dead:
            return
        whole = Totals()
        whole.add(base)
        for _, told in dead:
            if told is not None:
                whole.add(told)
        _write(self.folder / "base.json", whole.told() | {"folded": [p.stem for p, _ in dead]})
        for path, _ in dead:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """No other worker reads or folds meanwhile. False: that cannot be had here."""
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = stack.enter_context((self.folder / "lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                yield False
                return
            yield True


def _me() -> str:
    """This process, in a file's name: a pid alone may since be another's."""
    return _name(os.getpid())


@cache
def _name(pid: int) -> str:
    identity = Identity.of(pid)
    return f"{pid}-{identity.started if identity else 0}"


def _lives(name: str) -> bool:
    if name == _me():
        return True
    pid, _, started = name.partition("-")
    identity = Identity.of(int(pid)) if pid.isdecimal() else None
    return identity is not None and f"{identity.started}" == started


def _write(path: Path, told: dict[str, Any]) -> None:
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.write_text(json.dumps(told))
    draft.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


WEB = Counters()
SHARED = Shared(settings.HOME.root / "metrics" / f"web-{settings.PORT}", WEB)
