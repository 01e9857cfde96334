"""Logs of deployments: one file per attempt's build and per replica, a line an event, read by byte offset."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from endpoints.models import Attempt, Deployment, Replica

_LONGEST_ANSWER = 256 * 1024  # bytes


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


def remove(deployment: Deployment) -> None:
    shutil.rmtree(_folder(deployment), ignore_errors=True)


def _folder(deployment: Deployment) -> Path:
    return Path(settings.HOME.logs) / "deployments" / str(deployment.pk)
