"""What a log line looks like: for people, or as one JSON object. And the errors among them, kept for the health page."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any

from studio.lib import request_ids

log = logging.getLogger(__name__)

KEPT = 100  # errors that wait to be told
_VALUE = re.compile(r"%(\(\w+\))?[-#0-9.]*[sdrfgxi]")


class _Process:
    """Its name, as the health page and the lines say it."""

    name = "manage"


def name_process(name: str) -> None:
    _Process.name = name


def take_all() -> None:
    """Have warnings and what ends the process logged as well: a program reads the lines."""

    def ended(
        kind: type[BaseException], raised: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("the process ends", exc_info=(kind, raised, trace))

    logging.captureWarnings(True)
    sys.excepthook = ended


def process() -> str:
    return _Process.name


def moment(seconds: float) -> str:
    """A time as a log tells it, in UTC."""
    told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


class TextLine(logging.Formatter):
    """Level, logger, message; and the request's id where the message does not hold it already."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        known = request_ids.current()
        return f"{line} request_id={known}" if known and "request_id=" not in line else line


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": moment(record.created),
            "level": record.levelname,
            "process": process(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = getattr(record, "request_id", "") or request_ids.current()
        if known:
            told["request_id"] = known
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = self.formatException(record.exc_info)
        elif record.stack_info:
            told["exception"] = record.stack_info
        return json.dumps(told, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that was logged. No value of the request's or of a row is in it."""

    at: float  # seconds since the epoch
    process: str
    route: str
    kind: str  # the exception's class, or a status
    message: str
    request_id: str


failures: deque[Failure] = deque(maxlen=KEPT)


class Keep(logging.Handler):
    """Keeps errors in memory until a heartbeat takes them along. Costs who logs an error a few microseconds."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            failures.append(_failure(record))
        except Exception:  # noqa: BLE001 - whatever it is, who logs an error has trouble enough
            self.handleError(record)


def _failure(record: logging.LogRecord) -> Failure:
    raised = record.exc_info[1] if record.exc_info else None
    kind = getattr(record, "kind", "") or (
        type(raised).__name__ if raised is not None else str(getattr(record, "status_code", ""))
    )
    message = getattr(record, "brief", "") or (_place(raised) if raised is not None else "")
    return Failure(
        record.created,
        process(),
        _route(record)[:200],
        (kind or record.levelname)[:100],
        (message or _without_values(record))[:200],
        getattr(record, "request_id", "") or request_ids.current(),
    )


def _route(record: logging.LogRecord) -> str:
    """What was asked for: a route, a task, an endpoint; else who says it."""
    if told := getattr(record, "route", ""):
        return str(told)
    request = getattr(record, "request", None)
    if found := getattr(request, "studio_route", ""):
        return str(found)
    return request_ids.about() or record.name


def _place(raised: BaseException) -> str:
    """Where it was raised: its words may hold values, of a row say."""
    frames = traceback.extract_tb(raised.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"in {last.name}, {'/'.join(PurePath(last.filename).parts[-2:])} line {last.lineno}"


def _without_values(record: logging.LogRecord) -> str:
    """The message as it stands in the code, with … for each value."""
    if record.name == "django.request" and isinstance(record.args, tuple) and record.args:
        return str(record.args[0])  # the status in words; the other value is an address
    return " ".join(_VALUE.sub("…", str(record.msg)).split())
