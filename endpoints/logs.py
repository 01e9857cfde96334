"""Logs of deployments: one file per attempt's build and per replica, a line an event, read by byte offset."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from endpoints.models import Attempt, Deployment, Replica

STARTING = "starting a replica"  # what an attempt's log says before there is a replica's
COPIED = "  | "  # before a line of an attempt's log that a replica's log holds, too
_LONGEST_ANSWER = 256 * 1024  # bytes
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d) ")
_DAY = 24 * 60 * 60  # seconds


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines of a log and where to go on reading: pass `next` as `after`. `more`: there is more at once."""

    lines: list[str]
    next: int
    more: bool = False


def of_attempt(attempt: Attempt) -> Path:
    return _folder(attempt.deployment) / f"{attempt.number}-build.log"


def of_replica(replica: Replica) -> Path:
    return (
        _folder(replica.attempt.deployment) / f"{replica.attempt.number}-replica-{replica.pk}.log"
    )


def write(path: Path, line: str) -> None:
    """Add a line with the time before it. A line written at once by two processes is not torn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = f"{datetime.now(UTC):%H:%M:%S} {line.rstrip()}\n".encode(errors="replace")
    with path.open("ab", buffering=0) as file:  # one call to the system is one whole line
        file.write(told)


def read(path: Path, after: int = 0) -> Page:
    """The whole lines that begin at byte `after`, at most 256 KiB of them. A log that is not there is empty."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(after if 0 <= after <= size else 0)
            start = file.tell()
            found = file.read(_LONGEST_ANSWER)
    except FileNotFoundError:
        return Page([], 0)
    whole = found[: found.rfind(b"\n") + 1] or (found if len(found) == _LONGEST_ANSWER else b"")
    lines = whole.decode(errors="replace").splitlines()
    return Page(lines, start + len(whole), more=start + len(found) < size)


def tail(path: Path, lines: int) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LONGEST_ANSWER))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def in_order(build: list[str], replicas: list[list[str]], began: datetime) -> list[str]:
    """The lines of an attempt's log and its replicas' by their times; what is in both, once.

    A line without a time goes with the one before it in its own log. Times are of the day alone: one much
    earlier than the last is of the next day.
    """
    if not replicas:
        return build
    kept = [line for line in build if not line[9:].startswith(COPIED)]
    # Of one second, a replica's lines stand between its start and what is said of it afterwards.
    asked = max((place for place, line in enumerate(kept) if line[9:] == STARTING), default=-1)
    keyed = [
        (at, 0 if place <= asked else len(replicas) + 1, line)
        for place, (at, line) in enumerate(_timed(kept, began))
    ]
    for number, lines in enumerate(replicas, 1):
        keyed += [(at, number, line) for at, line in _timed(lines, began)]
    return [line for _, _, line in sorted(keyed, key=lambda row: row[:2])]


def _timed(lines: list[str], began: datetime) -> Iterator[tuple[int, str]]:
    """Each line with its time in seconds, which never goes back."""
    at = (began.hour * 60 + began.minute) * 60 + began.second
    for line in lines:
        if match := _TIME.match(line):
            hours, minutes, seconds = map(int, match.groups())
            told = at - at % _DAY + (hours * 60 + minutes) * 60 + seconds
            at = max(at, told if told > at - _DAY // 2 else told + _DAY)
        yield at, line


def remove(deployment: Deployment) -> None:
    shutil.rmtree(_folder(deployment), ignore_errors=True)


def _folder(deployment: Deployment) -> Path:
    return Path(settings.HOME.logs) / "deployments" / str(deployment.pk)
