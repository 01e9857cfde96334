"""What the person at the terminal sees meanwhile: a line each few seconds, not one for each file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from studio.lib.text import sized

Say = Callable[[str], None]
_PAUSE = 5.0  # seconds between two lines


@dataclass
class Progress:
    """`verb` is what is done, "copied" say. `total` in bytes; 0: it is not known."""

    say: Say
    verb: str
    total: int = 0
    done: int = 0
    files: int = 0
    last: float = field(default_factory=time.monotonic)

    def moved(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.last >= _PAUSE:
            self.last = time.monotonic()
            of = f" of {sized(self.total)}" if self.total else ""
            files = f", {self.files:,} files" if self.files else ""
            self.say(f"{self.verb} {sized(self.done)}{of}{files}")
