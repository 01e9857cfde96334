"""One log of all processes: a line each, its process first, coloured on a terminal; or one JSON object each."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from threading import Lock
from time import time
from typing import Any, TextIO

from studio.lib.logs import moment

_COLOURS = (36, 33, 35, 32, 34, 31, 96, 93)
_RESET = "\x1b[0m"
# How a line of PostgreSQL's, Celery's or granian's begins that says how bad it is.
_LEVEL = re.compile(
    r"(?:\[?)(DEBUG|INFO|LOG|NOTICE|HINT|DETAIL|WARNING|ERROR|FATAL|PANIC|CRITICAL)\b"
)
_LEVELS = {
    "LOG": "INFO", "NOTICE": "INFO", "HINT": "INFO", "DETAIL": "INFO", "FATAL": "CRITICAL", "PANIC": "CRITICAL",
}  # fmt: skip


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
            except (OSError, ValueError):
                self.coloured = False  # who read it has gone, or its disk is full: Studio goes on

    def _format(self, process: str, line: str) -> str:
        if self.form == "json":
            return json.dumps(_object(process, line), ensure_ascii=False) + "\n"
        name = f"{process:<9}"
        if self.coloured:
            colour = _COLOURS[self.seen.setdefault(process, len(self.seen)) % len(_COLOURS)]
            name = f"\x1b[{colour}m{name}{_RESET}"
        return f"{datetime.now(UTC):%H:%M:%S} {name} {line}\n"


def _object(process: str, line: str) -> dict[str, Any]:
    """The line as an object: as it is where one of our processes has made it, else with the line as its message."""
    if line.startswith('{"at": '):
        try:
            told = json.loads(line)
        except ValueError:
            pass
        else:
            if isinstance(told, dict) and {"level", "logger", "message"} <= told.keys():
                return told | {"process": process}  # who it is we know better
    level = match[1] if (match := _LEVEL.match(line)) else "INFO"
    return {
        "at": moment(time()),
        "level": _LEVELS.get(level, level),
        "process": process,
        "logger": "",
        "message": line,
    }
