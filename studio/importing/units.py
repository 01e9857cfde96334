"""What a source gives: things that come over whole or not at all, as rows of MLflow's tables and as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = dict[str, Any]
# By table. Experiments have their source's ids: `Experiments` says which they get here.
Rows = dict[str, list[Row]]
# Of a metric: key, value as it was logged, time, step.
Point = tuple[str, float, int, int]

EXPERIMENT, RUN, LOGGED_MODEL, TRACE = "experiment", "run", "logged model", "trace"
REGISTERED_MODEL = "registered model"

# What reading nonsense ends in: a text where a mapping should be, a number of a million digits.
NONSENSE = (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError)


class Refused(Exception):
    """One thing that cannot come over. Its text is the reason, written for the report."""


class Unreachable(Exception):
    """Files that cannot be had from here. Its text is the reason."""


def is_storable(name: object) -> bool:
    """Whether it is a text that PostgreSQL can be asked for."""
    try:
        return isinstance(name, str) and b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def printable(text: str, most: int = 120) -> str:
    """What a source says, as text that a terminal may be sent."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most])


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source. `path` is relative to its folder, with slashes; `open` gives its bytes in pieces."""

    path: str
    size: int
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]
    # Whether reading it again is cheap: if so what lies here already is compared byte by byte.
    near: bool = True


class Files(Protocol):
    def walk(self, refuse: Callable[[str, str], None]) -> Iterator[File]:
        """Every file. `refuse` is told the path of what is none, and why. Raises Unreachable."""


@dataclass(slots=True)
class Unit:
    """A thing with all its rows. The points of a run's metrics may be too many to hold."""

    kind: str
    id: str
    rows: Rows
    experiment: str = ""
    points: Callable[[], Iterator[Point]] = field(default=lambda: iter(()))
    files: Files | None = None
    # Where the source says that the files lie.
    address: str = ""
    # About how many points there are.
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that has an id and can be read. `read` raises Refused."""

    id: str
    read: Callable[[], Unit]


class Source(Protocol):
    """What can be imported from. What cannot be read is told to the report that it was opened with."""

    label: str

    def runs_expected(self) -> int | None:
        """How many runs there are about, if that can be told at once."""

    def experiments(self) -> Iterator[Item]: ...

    def runs(self, experiment: str) -> Iterator[Item]: ...

    def logged_models(self, experiment: str) -> Iterator[Item]: ...

    def traces(self, experiment: str) -> Iterator[Item]: ...

    def registered_models(self) -> Iterator[Item]: ...

    def leave(self) -> None:
        """Tell the report what there is besides, which Studio does not import."""

    def close(self) -> None: ...
