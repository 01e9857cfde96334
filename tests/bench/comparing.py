"""A row of a table with peers: what each side does in a second, and how many times that Studio must be ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.bench.sides import STUDIO


@dataclass(frozen=True, slots=True)
class Mark:
    """What Studio's rate must be, in times of another side's."""

    rule: Literal["at least", "more than"]
    times: float

    def holds(self, ratio: float) -> bool:
        return ratio >= self.times if self.rule == "at least" else ratio > self.times

    def __str__(self) -> str:
        return f"{self.rule} {self.times:g}×"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rates by side, Studio's among them, and marks for some of the others."""

    name: str
    unit: str
    rates: Mapping[str, float]
    marks: Mapping[str, Mark]

    def ratio(self, side: str) -> float:
        return self.rates[STUDIO] / self.rates[side]

    @property
    def others(self) -> list[str]:
        return [side for side in self.rates if side != STUDIO]

    @property
    def holds(self) -> bool:
        return all(mark.holds(self.ratio(side)) for side, mark in self.marks.items())

    def told(self, side: str) -> str:
        """The other side's rate, and how Studio's is to it."""
        ratio, mark = self.ratio(side), self.marks.get(side)
        verdict = f", {mark}: {'held' if mark.holds(ratio) else 'MISSED'}" if mark else ""
        return f"{self.rates[side]:,.0f} (Studio {ratio:.2f}×{verdict})"
