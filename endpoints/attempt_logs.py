"""What is shown of an attempt's logs: its own and its replicas', as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from endpoints import logs
from endpoints.models import Attempt, Replica
from studio.lib import bounded

MOST = 2000  # lines that a page begins with; a script keeps some more as they come
_TAIL = 256 * 1024  # bytes of each file that these are looked for in
_FAILED = re.compile(r"(\d\d:\d\d:\d\d )?FAILED: (?P<reason>.*)")
_WARNING = re.compile(r"(\d\d:\d\d:\d\d )?WARNING\b")
# Of a web host without a gateway: agent and worker, who write the logs, are where the gateway is.
_ELSEWHERE = "This log lies in STUDIO_HOME/logs on the host that runs the models, and that folder is not mounted here."
# What stands before a line of a traceback that the attempt's own log tells.
_BEFORE = re.compile(r"\d\d:\d\d:\d\d (  (\| )?)?")
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class LogNews:
    """Some lines of an attempt's logs. Who passes `places` next time reads on; `more`: there is more at once.

    `cut`: lines before these were left out.
    """

    lines: list[str]
    places: dict[str, int]
    more: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line with what it means: `mark` is bad, warn or nothing. One of a failed attempt is where it failed."""

    text: str
    mark: str = ""
    is_error: bool = False


def log_of(attempt: Attempt, after: Mapping[str, int], replica: Replica | None = None) -> LogNews:
    """What is new in the attempt's logs, its own and its replicas', since the `places` that were told before.

    Of one replica's log alone, if one is given.
    """
    pages = {
        name: logs.read(path, after.get(name, 0)) for name, path in _files(attempt, replica).items()
    }
    return LogNews(
        _in_order(attempt, replica, [page.lines for page in pages.values()]),
        {name: page.next for name, page in pages.items()},
        any(page.more for page in pages.values()),
    )


def latest(attempt: Attempt, replica: Replica | None = None) -> LogNews:
    """The last lines of these logs, at most MOST, to read on from."""
    found, places, cut = [], {}, False
    files = _files(attempt, replica)
    if settings.GATEWAY_URL and not any(path.exists() for path in files.values()):
        return LogNews([_ELSEWHERE], {})
    for name, path in files.items():
        whole = bounded.read(path, 0, 0)
        begin = whole.end - _TAIL
        page = logs.read(path, begin if begin > whole.start else 0)
        if begin > whole.start:
            cut = True
            del page.lines[:1]  # most likely a part of a line
        found.append(page.lines)
        places[name] = page.next
    lines = _in_order(attempt, replica, found)
    return LogNews(lines[-MOST:], places, cut=cut or len(lines) > MOST)


def whole(attempt: Attempt, replica: Replica | None = None) -> Iterator[str]:
    """Every line of these logs, as they are read."""
    files = [logs.Whole(path) for path in _files(attempt, replica).values()]
    if replica is not None:
        return iter(files[0])
    return logs.in_order(files[0], files[1:], attempt.started_at)


def reason_of(attempt: Attempt) -> str:
    """Why an earlier attempt failed, as its log tells."""
    told = logs.tail(logs.of_attempt(attempt), 20).splitlines()
    found = [match["reason"] for line in told if (match := _FAILED.match(line))]
    return found[-1] if found else ""


def marked(lines: Sequence[str], *, failed: bool = False) -> list[Line]:
    """The lines with their marks: what failed, and the last line of each traceback.

    Of a `failed` attempt the last FAILED is the error, or else the end of the last traceback.
    """
    marks = list(_marks(lines))
    bad = [place for place, mark in enumerate(marks) if mark == "bad"]
    told = [place for place in bad if _FAILED.match(lines[place])] or bad
    error = told[-1] if failed and told else None
    return [
        Line(text, mark, place == error)
        for place, (text, mark) in enumerate(zip(lines, marks, strict=True))
    ]


def _marks(lines: Iterable[str]) -> Iterator[str]:
    in_traceback = False
    for line in lines:
        text = _BEFORE.sub("", line, count=1)
        ends = in_traceback and bool(text) and not text.startswith(" ")
        in_traceback = _TRACEBACK in text or (in_traceback and not ends)
        if _FAILED.match(line) or (ends and not in_traceback):
            yield "bad"
        else:
            yield "warn" if _WARNING.match(line) else ""


def _files(attempt: Attempt, replica: Replica | None) -> dict[str, Path]:
    """By the names that pages know their places by."""
    if replica is not None:
        return {f"replica-{replica.pk}": logs.of_replica(replica)}
    # Who has read an earlier attempt's starts at the beginning.
    files = {f"build-{attempt.number}": logs.of_attempt(attempt)}
    for one in Replica.objects.filter(attempt=attempt).select_related("attempt__deployment"):
        files[f"replica-{one.pk}"] = logs.of_replica(one)
    return files


def _in_order(attempt: Attempt, replica: Replica | None, found: list[list[str]]) -> list[str]:
    if replica is not None:
        return found[0]
    return list(logs.in_order(found[0], found[1:], attempt.started_at))
