"""Asks both lanes the same question about the same rows, and says where the answers are not the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from studio.lane import LANES
from tests.differential.arena import Arena
from tests.differential.cases import Case
from tests.differential.lanes import Answer, Lane

# Lists that MLflow gives in no order, wherever they are not the whole answer.
_UNORDERED = {
    "metrics", "params", "tags", "dataset_inputs", "model_inputs", "model_outputs", "latest_versions", "aliases",
}  # fmt: skip
_PLACE = re.compile(r"\bat 0x[0-9a-f]+")  # of a Python object, in a message
_SHOWN = 20  # pairs, of those that are wrong
_MOST = 1500  # characters of an answer

# Of all apps.
READING = {route: methods for lane in LANES for route, methods in lane.reading.items()}


class Pair(NamedTuple):
    """A question as both lanes have answered it."""

    case: Case
    fast: Answer
    reference: Answer

    @property
    def same(self) -> bool:
        return _settled(self.fast) == _settled(self.reference)

    @property
    def content(self) -> Any:
        """The fast lane's JSON, where both answers are the same."""
        return json.loads(self.fast.body)

    @property
    def tells_who_answered(self) -> bool:
        """MLflow's JSON has line breaks where there is anything in it; the lane's own has none."""
        return self.reference.status == 200 and b"\n" in self.reference.body

    @property
    def is_native(self) -> bool:
        """Whether the lane itself has answered, and not MLflow in its place."""
        return self.fast.status == 200 and b"\n" not in self.fast.body

    @property
    def should_be_native(self) -> bool:
        return self.case.method in READING.get(self.case.route.partition("?")[0], ())

    def __str__(self) -> str:
        case = self.case
        lines = [
            f"{case.method} {case.prefix}/{_short(case.route)} (as {case.who}): {case.name}",
            f"sent      {_short(case.body)}",
            f"fast      {self.fast.status} {self.fast.kind} {_short(self.fast.body)}",
            f"reference {self.reference.status} {self.reference.kind} {_short(self.reference.body)}",
        ]
        return "\n  ".join([*lines, *_differences(self)])


class Allowed(NamedTuple):
    """Where Studio answers otherwise than MLflow on purpose, and why."""

    name: str
    why: str
    recognises: Callable[[Pair], bool]


@dataclass
class Reading:
    """Both lanes of `arena`, which counts the pairs."""

    arena: Arena
    allowed: tuple[Allowed, ...]

    def pairs(self, cases: Iterable[Case]) -> list[Pair]:
        """Ask both lanes at the same time: each has a process of its own."""
        asked = list(cases)
        with ThreadPoolExecutor(2) as both:
            fast = both.submit(_ask, self.arena.fast, asked)
            reference = both.submit(_ask, self.arena.reference, asked)
        self.arena.pairs += len(asked)
        return [Pair(*each) for each in zip(asked, fast.result(), reference.result(), strict=True)]

    def compare(self, cases: Iterable[Case]) -> list[Pair]:
        """Fails with the pairs that are not the same, and not so on purpose."""
        found = self.pairs(cases)
        _fail("differ", [pair for pair in found if not pair.same and not self.allows(pair)])
        return found

    def compare_native(self, cases: Iterable[Case]) -> list[Pair]:
        """As `compare`; fails too where a route of READING has been left to MLflow."""
        found = self.compare(cases)
        _fail("were left to MLflow", [p for p in found if p.should_be_native and not p.is_native])
        return found

    def allows(self, pair: Pair) -> bool:
        return any(allowed.recognises(pair) for allowed in self.allowed)


def _fail(how: str, wrong: list[Pair]) -> None:
    if wrong:
        told = "\n\n".join(map(str, wrong[:_SHOWN]))
        pytest.fail(f"{len(wrong)} pairs {how}:\n\n{told}", pytrace=False)


def _ask(lane: Lane, cases: list[Case]) -> list[Answer]:
    return [lane.ask(case, case.body) for case in cases]


def _settled(answer: Answer) -> tuple[int, str | None, str]:
    """What must be the same: JSON as such with unordered lists sorted, and what is none as it is."""
    text = _PLACE.sub("at 0x…", answer.body.decode("utf-8", "backslashreplace"))
    if (answer.kind or "").startswith("application/json") and text:
        # A bare NaN is none of JSON's words, and not the text "NaN".
        content = json.loads(text, parse_constant=lambda name: f"<{name}>", parse_float=_number)
        text = _written(_sorted(content, whole=True))
    return answer.status, answer.kind, text


def _number(text: str) -> int | float:
    """1.0 and 1 are the same number; 0.0 and -0.0 are not."""
    value = float(text)
    return int(value) if value.is_integer() and text != "-0.0" else value


def settled(items: list[Any]) -> list[Any]:
    """The same runs, models, …, each with those of its lists sorted that have no order."""
    return [_sorted(each, whole=False) for each in items]


def _sorted(value: Any, *, whole: bool) -> Any:
    if isinstance(value, list):
        return [_sorted(each, whole=False) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _sorted(each, whole=False) for name, each in value.items()}
    return {
        name: sorted(each, key=_written) if name in _UNORDERED and not whole else each
        for name, each in found.items()
    }


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _differences(pair: Pair) -> list[str]:
    """Where the first difference is, if it lies behind what is shown."""
    ours, theirs = _settled(pair.fast)[2], _settled(pair.reference)[2]
    place = next(
        (at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    if ours == theirs:
        return []
    start = max(0, place - 150)
    return [
        f"from {place}: {ours[start : place + 150]!r}",
        f"against {theirs[start : place + 150]!r}",
    ]


def _short(told: str | bytes) -> str:
    text = told if isinstance(told, str) else told.decode("utf-8", "backslashreplace")
    return text if len(text) <= _MOST else f"{text[:_MOST]}… ({len(text)} characters)"
