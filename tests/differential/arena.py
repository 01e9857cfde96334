"""Sends stories to both lanes, and says where answers or tables are not the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from tests.differential import state
from tests.differential.cases import Case, Story
from tests.differential.lanes import NO_ANSWER, Answer, Lane
from tests.differential.pairs import Deviation, Pair, Side
from tests.differential.state import Names, Rows, State
from tests.differential.twins import Twin, is_more_than_own, make_twins

_STATEMENT = re.compile(r"\n(DETAIL|CONTEXT|\[SQL).*", re.DOTALL)
_SHOWN = 20  # pairs, of those that are wrong


@dataclass
class Seat:
    """A twin on its lane, its rows as they are now and were before, and the last answer that it was given."""

    twin: Twin
    names: Names
    tables: State = field(default_factory=dict)
    before: State = field(default_factory=dict)
    answer: Answer = NO_ANSWER

    def ask(self, lane: Lane, case: Case) -> None:
        sent = self.twin.filled(case)
        self.answer = lane.ask(sent, sent.body)
        content = _content(self.answer)
        # The order in which answers tell of new runs names them: their ids tell nothing.
        if self.answer.status == 200 and isinstance(content, dict) and "run" in content:
            self.names.learn("run", content["run"]["info"]["run_id"])

    def look(self, rows: Rows) -> None:
        self.before, self.tables = self.tables, state.named(rows, self.names)

    @property
    def side(self) -> Side:
        body = self.names.replaced(_content(self.answer))
        return Side(self.answer, body, self.before, self.tables)


@dataclass
class Act:
    """A story that is being played."""

    story: Story
    fast: Seat
    reference: Seat

    def pair(self, case: Case) -> Pair:
        sent = self.fast.twin.filled(case)
        return Pair(case, sent.body, self.fast.side, self.reference.side)


@dataclass
class Arena:
    """Both lanes on one database. `grants`: what roles may do on a twin's experiment.

    Counts the pairs, and how often each deviation was met.
    """

    connection: psycopg.Connection[Any]
    fast: Lane
    reference: Lane
    grants: list[tuple[int, str]]
    deviations: tuple[Deviation, ...]
    since: int
    pairs: int = 0
    met: Counter[str] = field(default_factory=Counter)

    def play(self, stories: Iterable[Story]) -> list[Pair]:
        """Send each story to both lanes, on twins of its own, and return every pair.

        The tables are looked at after every case. A story ends where a pair is not the same.
        """
        acts = self._acts(list(stories))
        self._look(acts)
        played: list[Pair] = []
        step = 0
        while acts := [act for act in acts if step < len(act.story.cases)]:
            pairs = self._pairs(acts, [act.story.cases[step] for act in acts])
            played += pairs
            alike = [pair.same_answer and pair.same_tables for pair in pairs]
            acts = [act for act, same in zip(acts, alike, strict=True) if same]
            step += 1
        self.pairs += len(played)
        return played

    def compare(self, stories: Iterable[Story]) -> None:
        """Fails with the pairs that are not the same, and not so on purpose."""
        wrong = [pair for pair in self.play(stories) if not self.allows(pair)]
        if wrong:
            told = "\n\n".join(map(str, wrong[:_SHOWN]))
            pytest.fail(f"{len(wrong)} pairs differ:\n\n{told}", pytrace=False)

    def allows(self, pair: Pair) -> bool:
        answers = [d.name for d in self.deviations if not pair.same_answer and d.answers(pair)]
        tables = [d.name for d in self.deviations if not pair.same_tables and d.tables(pair)]
        self.met.update({*answers, *tables})
        return (pair.same_answer or bool(answers)) and (pair.same_tables or bool(tables))

    def _acts(self, stories: list[Story]) -> list[Act]:
        whole = [any(map(is_more_than_own, story.cases)) for story in stories for _ in range(2)]
        twins = make_twins(self.connection, whole, self.grants)
        seats = [Seat(twin, Names(twin, self.since)) for twin in twins]
        return [Act(*each) for each in zip(stories, seats[::2], seats[1::2], strict=True)]

    def _pairs(self, acts: list[Act], cases: list[Case]) -> list[Pair]:
        with ThreadPoolExecutor(2) as both:  # each lane has a process of its own
            lanes = [
                both.submit(_ask, self.fast, [act.fast for act in acts], cases),
                both.submit(_ask, self.reference, [act.reference for act in acts], cases),
            ]
        for lane in lanes:
            lane.result()  # raises what went wrong there
        self._look(acts)
        return [act.pair(case) for act, case in zip(acts, cases, strict=True)]

    def _look(self, acts: list[Act]) -> None:
        seats = [seat for act in acts for seat in (act.fast, act.reference)]
        rows = state.read(self.connection, [seat.twin for seat in seats]) if seats else {}
        for seat in seats:
            seat.look(rows[seat.twin.mark])


def _ask(lane: Lane, seats: list[Seat], cases: list[Case]) -> None:
    for seat, case in zip(seats, cases, strict=True):
        seat.ask(lane, case)


def _content(answer: Answer) -> Any:
    """JSON as such, and what is none as text. Statements in messages hold ids and times: they are cut off."""
    text = answer.body.decode("utf-8", "backslashreplace")
    if not (answer.kind or "").startswith("application/json"):
        return text
    try:
        content = json.loads(text)
    except ValueError:
        return text
    if isinstance(content, dict) and isinstance(told := content.get("message"), str):
        content["message"] = _STATEMENT.sub("\n[SQL…", told)
    return content
