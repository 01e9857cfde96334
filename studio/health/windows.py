"""How long requests took lately: five minutes at a time, so that the last hour can be told, and old news goes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from time import time

SPAN = 300  # seconds
# Seconds, each half as much again as the one before, from 1 ms to 50 s: what is told is right within a fifth.
BOUNDS = tuple(round(0.001 * 1.5**step, 6) for step in range(28))

# Of a route: how many requests, the longest in seconds, and how many in each bucket.
Told = list[float]


class Windows:
    """What a process has to tell: threads note, and the heartbeat takes along."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now: dict[str, Told] = {}
        self._at = 0
        self._past: dict[int, dict[str, Told]] = {}
        self._ended: set[int] = set()  # those that had ended when asked for news
        self._notes = self._offered = self._taken = (
            0  # requests so far, when asked for news, when told
        )

    def note(self, route: str, seconds: float) -> None:
        at = int(time()) // SPAN * SPAN
        with self._lock:
            if at != self._at:
                self._turn(at)
            told = self._now.get(route)
            if told is None:
                told = self._now[route] = [0, 0.0, *[0] * (len(BOUNDS) + 1)]
            told[0] += 1
            if seconds > told[1]:
                told[1] = seconds
            told[2 + bisect_left(BOUNDS, seconds)] += 1
            self._notes += 1

    def news(self) -> dict[int, dict[str, Told]]:
        """Windows that have changed since they were told last, by the second in which they began."""
        with self._lock:
            found = dict(self._past)
            self._offered, self._ended = self._notes, set(self._past)
            if self._notes != self._taken:
                found[self._at] = {route: list(told) for route, told in self._now.items()}
            return found

    def told(self, news: Iterable[int]) -> None:
        """These have been taken along; what came meanwhile is news again."""
        with self._lock:
            for at in self._ended.intersection(news):
                self._past.pop(at, None)
            self._taken = self._offered

    def _turn(self, at: int) -> None:
        if self._notes != self._taken:
            self._past[self._at] = self._now
            for old in sorted(self._past)[:-12]:  # nobody has taken them for an hour
                del self._past[old]
        self._now, self._at = {}, at
        self._taken = self._notes


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the requests of a route took, in seconds. Half and 19 of 20 took no longer than `p50` and `p95`."""

    route: str
    count: int
    p50: float
    p95: float
    longest: float


def together(windows: Iterable[Mapping[str, Told]]) -> Pace:
    """All routes of all these windows."""
    found = paces({"all": told} for window in windows for told in window.values())
    return found[0] if found else Pace("all", 0, 0.0, 0.0, 0.0)


def paces(windows: Iterable[Mapping[str, Told]]) -> list[Pace]:
    """The routes of all these windows, the slowest first."""
    sums: dict[str, Told] = {}
    for window in windows:
        for route, told in window.items():
            known = sums.setdefault(route, [0.0] * len(told))
            if len(known) == len(told):
                longest = max(known[1], told[1])
                known[:] = [a + b for a, b in zip(known, told, strict=True)]
                known[1] = longest
    found = [_pace(route, told) for route, told in sums.items()]
    return sorted(found, key=lambda pace: pace.p95, reverse=True)


def _pace(route: str, told: Told) -> Pace:
    count, longest, *buckets = told
    return Pace(
        route, int(count), _within(buckets, 0.5, longest), _within(buckets, 0.95, longest), longest
    )


def _within(buckets: list[float], share: float, longest: float) -> float:
    """What this share of the requests took no longer than: between a bucket's bounds, as if spread evenly."""
    wanted, so_far, low = sum(buckets) * share, 0.0, 0.0
    for bound, count in zip((*BOUNDS, longest), buckets, strict=True):
        if count and so_far + count >= wanted:
            high = min(bound, longest)
            return max(0.0, low + (high - low) * (wanted - so_far) / count)
        so_far, low = so_far + count, bound
    return longest
