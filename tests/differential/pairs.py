"""A case as both lanes have taken it, and where they may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tests.differential.cases import Case
from tests.differential.lanes import Answer
from tests.differential.state import State


@dataclass(frozen=True)
class Side:
    """One lane's answer, its body with ids and times replaced, and the tables before and after."""

    answer: Answer
    body: Any
    before: State
    after: State

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def error_code(self) -> str:
        return str(self.body.get("error_code", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)

    @property
    def shown(self) -> tuple[int, str | None, Any]:
        return self.answer.status, self.answer.kind, self.body

    @property
    def wrote_nothing(self) -> bool:
        return self.before == self.after


@dataclass(frozen=True)
class Pair:
    """The same case on both lanes. `sent` is the body as the fast lane got it."""

    case: Case
    sent: bytes
    fast: Side
    reference: Side

    @property
    def same_answer(self) -> bool:
        return self.fast.shown == self.reference.shown

    @property
    def same_tables(self) -> bool:
        return self.fast.after == self.reference.after

    def __str__(self) -> str:
        lines = [
            f"{self.case.route}: {self.case.name} (as {self.case.who})",
            f"sent      {_short(self.sent, 200)}",
        ]
        if not self.same_answer:
            lines += [f"fast      {_short(self.fast.shown)}"]
            lines += [f"reference {_short(self.reference.shown)}"]
        if not self.same_tables:
            lines += _changes(self.fast.after, self.reference.after)
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Deviation:
    """Where Studio answers otherwise on purpose. `row` stands in docs/compatibility.md.

    `answers` and `tables` recognise a pair in which those differ for this reason.
    """

    name: str
    row: str
    answers: Callable[[Pair], bool]
    tables: Callable[[Pair], bool]


def _changes(fast: State, reference: State) -> Iterator[str]:
    for table in sorted({*fast, *reference}):
        ours, theirs = set(fast.get(table, ())), set(reference.get(table, ()))
        for own, other in zip_longest(sorted(ours - theirs), sorted(theirs - ours)):
            if own:
                yield f"only fast has in {table}: {_short(own)}"
            if other:
                yield f"only reference has in {table}: {_short(other)}"
        if ours == theirs and len(fast[table]) != len(reference[table]):
            yield f"{table}: rows come a different number of times"


def _short(told: object, most: int = 500) -> str:
    text = told if isinstance(told, str) else repr(told)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
