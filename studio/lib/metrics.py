"""Counting, and telling it in the format that Prometheus reads."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. The last bucket has no end.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[tuple[str, str], ...]


def empty_times() -> list[float]:
    """How often each bucket was hit, then the sum of all seconds."""
    return [0] * (len(BOUNDS) + 1) + [0.0]


def add(times: list[float], seconds: float) -> None:
    times[bisect_left(BOUNDS, seconds)] += 1
    times[-1] += seconds


@dataclass
class Family:
    """One metric: its samples are (what is added to its name, labels, value)."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def add(self, value: float, /, **labels: str) -> None:
        self.samples.append(("", tuple(labels.items()), value))

    def add_times(self, times: Iterable[float], /, **labels: str) -> None:
        """A histogram's: what `add` has filled."""
        *counts, total = times
        given, so_far = tuple(labels.items()), 0.0
        for bound, count in zip((*BOUNDS, math.inf), counts, strict=True):
            so_far += count
            self.samples.append(("_bucket", (*given, ("le", _number(bound))), so_far))
        self.samples.append(("_sum", given, total))
        self.samples.append(("_count", given, so_far))


def exposition(families: Iterable[Family]) -> str:
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            lines.append(f"{family.name}{suffix}{_told(dict(labels))} {_number(value)}")
    return "\n".join(lines) + "\n"


def _told(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
