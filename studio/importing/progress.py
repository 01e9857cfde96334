"""How far it is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import TextIO

_BAR = 24


class Progress:
    """Counts runs and points, and tells of them at most twice a second on a terminal, else every ten seconds."""

    def __init__(self, to: TextIO, expected: int | None) -> None:
        self._to, self._expected = to, expected
        self._terminal = to.isatty()
        self._pause = 0.5 if self._terminal else 10.0
        self._began = self._told = time.monotonic()
        self.runs = self.points = self.files = 0
        self.stage = ""

    def add(self, *, runs: int = 0, points: int = 0, files: int = 0) -> None:
        self.runs += runs
        self.points += points
        self.files += files
        if time.monotonic() - self._told >= self._pause:
            self._tell()

    def begin(self, stage: str) -> None:
        self.stage = stage
        if self._terminal:
            self._tell()

    def end(self) -> None:
        if self._terminal:
            self._to.write("\r\033[K")
            self._to.flush()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def line(self) -> str:
        rate = self.runs / max(self.seconds, 0.001)
        told = f"{self.stage}: {self.runs:,} runs, {self.points:,} points, {self.files:,} files"
        if self._expected and self.runs < self._expected:
            share = self.runs / self._expected
            filled = "#" * round(_BAR * share)
            left = (self._expected - self.runs) / rate if self.runs else 0
            bar = f"[{filled:<{_BAR}}] {share:4.0%} "
            return f"{bar}{told}, {rate:,.0f} runs/s, about {left:,.0f} s left"
        return f"{told}, {rate:,.0f} runs/s"

    def _tell(self) -> None:
        self._told = time.monotonic()
        start, end = ("\r\033[K", "") if self._terminal else ("", "\n")
        self._to.write(f"{start}{self.line()}{end}")
        self._to.flush()
