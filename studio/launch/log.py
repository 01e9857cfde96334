"""One log of all processes: a line each, its process first, coloured on a terminal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from threading import Lock
from typing import TextIO

_COLOURS = (36, 33, 35, 32, 34, 31, 96, 93)
_RESET = "\x1b[0m"


class Log:
    def __init__(self, form: str, stream: TextIO | None = None) -> None:
        self.form = form
        self.stream = stream or sys.stdout
        self.coloured = form == "text" and self.stream.isatty()
        self.lock = Lock()
        self.seen: dict[str, int] = {}

    def write(self, process: str, line: str) -> None:
        line = line.rstrip()
        if not line:
            return
        with self.lock:
            try:
                self.stream.write(self._format(process, line))
                self.stream.flush()
            except (BrokenPipeError, ValueError):
                self.coloured = False  # whoever read it has gone: Studio goes on

    def _format(self, process: str, line: str) -> str:
        at = datetime.now(UTC)
        if self.form == "json":
            return (
                json.dumps(
                    {
                        "at": at.isoformat(timespec="milliseconds"),
                        "process": process,
                        "message": line,
                    }
                )
                + "\n"
            )
        name = f"{process:<9}"
        if self.coloured:
            colour = _COLOURS[self.seen.setdefault(process, len(self.seen)) % len(_COLOURS)]
            name = f"\x1b[{colour}m{name}{_RESET}"
        return f"{at:%H:%M:%S} {name} {line}\n"
