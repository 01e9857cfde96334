"""Logs of deployments: one per attempt's build and per replica, a line an event, read by position in bytes.

Each is bounded on disk: of a long one the end is kept, and its readers are told how much was dropped.
"""

from __future__ import annotations

import heapq
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from endpoints.models import Attempt, Deployment, Replica, ReplicaState
from studio.lib import bounded

STARTING = "starting a replica"  # what an attempt's log says before there is a replica's
FURTHER = "starting a further replica"
COPIED = "  | "  # before a line of an attempt's log that a replica's log holds, too
_LONGEST = 10 * 1024 * 1024  # bytes of a log in its file, and as many in the older one beside it
_KEPT = 20  # logs of a deployment's replicas that are gone
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
    """Add a line with the time before it. Lines of several processes are not torn. A full disk loses it."""
    told = f"{datetime.now(UTC):%H:%M:%S} {line.rstrip()}\n".encode(errors="replace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # one call to the system is one whole line
            file.write(told)
    except OSError as failure:
        if failure.errno not in bounded.UNWRITABLE:
            raise
    shorten(path)


def for_output(path: Path) -> BinaryIO:
    """A log for a process to write to; on a full disk nowhere, since what it says is not worth its life."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as failure:
        if failure.errno not in bounded.UNWRITABLE:
            raise
        return Path(os.devnull).open("ab")


def shorten(path: Path) -> None:
    """Keep a log within its bounds. It costs next to nothing unless it has outgrown them."""
    bounded.shorten(path, _LONGEST)


def read(path: Path, after: int = 0) -> Page:
    """The whole lines that begin at position `after`, at most 256 KiB of them. A log that is not there is empty.

    Where lines after that position are there no more, the first one says so.
    """
    found = bounded.read(path, after, _LONGEST_ANSWER)
    data = found.data
    whole = data[: data.rfind(b"\n") + 1] or (data if len(data) == _LONGEST_ANSWER else b"")
    lines = whole.decode(errors="replace").splitlines()
    dropped = found.at - (after if 0 <= after <= found.at else 0)
    if dropped:
        lines.insert(0, f"... {_size(dropped)} of earlier lines were dropped")
    return Page(lines, found.at + len(whole), more=found.at + len(data) < found.end)


@dataclass(frozen=True, slots=True)
class Whole:
    """All lines of a log, to go through any number of times; a page of them is in memory."""

    path: Path

    def __iter__(self) -> Iterator[str]:
        page = Page([], 0, more=True)
        while page.more:
            page = read(self.path, page.next)
            yield from page.lines


def tail(path: Path, lines: int) -> str:
    """The last lines of a log."""
    told = bounded.tail(path, _LONGEST_ANSWER).decode(errors="replace")
    return "\n".join(told.splitlines()[-lines:])


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def in_order(
    build: Iterable[str], replicas: Sequence[Iterable[str]], began: datetime
) -> Iterator[str]:
    """The lines of an attempt's log and its replicas' by their times; what is in both, once.

    A line without a time goes with the one before it in its own log. Times are of the day alone: one much
    earlier than the last is of the next day. `build` is gone through twice, nothing is held.
    """
    if not replicas:
        yield from build
        return
    # Of one second, a replica's lines stand between its start and what is said of it afterwards.
    asked = max(
        (place for place, line in enumerate(_own(build)) if line[9:] == STARTING), default=-1
    )
    keyed = (
        (at, 0 if place <= asked or line[9:] == FURTHER else len(replicas) + 1, line)
        for place, (at, line) in enumerate(_timed(_own(build), began))
    )
    others = [_numbered(number, lines, began) for number, lines in enumerate(replicas, 1)]
    for _, _, line in heapq.merge(keyed, *others, key=lambda row: row[:2]):
        yield line


def _own(build: Iterable[str]) -> Iterator[str]:
    return (line for line in build if not line[9:].startswith(COPIED))


def _numbered(number: int, lines: Iterable[str], began: datetime) -> Iterator[tuple[int, int, str]]:
    for at, line in _timed(lines, began):
        yield at, number, line


def _timed(lines: Iterable[str], began: datetime) -> Iterator[tuple[int, str]]:
    """Each line with its time in seconds, which never goes back."""
    at = (began.hour * 60 + began.minute) * 60 + began.second
    for line in lines:
        if match := _TIME.match(line):
            hours, minutes, seconds = map(int, match.groups())
            told = at - at % _DAY + (hours * 60 + minutes) * 60 + seconds
            at = max(at, told if told > at - _DAY // 2 else told + _DAY)
        yield at, line


def remove_old(deployment: Deployment) -> None:
    """Of its replicas that are gone only the last ones' logs are kept: a new one has a log of its own."""
    gone = Replica.objects.filter(deployment=deployment, state=ReplicaState.GONE)
    for replica in gone.select_related("attempt__deployment").order_by("-pk")[_KEPT : 2 * _KEPT]:
        bounded.remove(of_replica(replica))


def remove(deployment: Deployment) -> None:
    shutil.rmtree(_folder(deployment), ignore_errors=True)


def _folder(deployment: Deployment) -> Path:
    return Path(settings.HOME.logs) / "deployments" / str(deployment.pk)
