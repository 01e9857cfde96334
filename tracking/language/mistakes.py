"""What is wrong with a filter, told to the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lark.exceptions import UnexpectedInput, UnexpectedToken

from studio.lib.errors import Invalid
from tracking.language.grammar import language

_BEFORE, _SHOWN = (
    30,
    60,
)  # characters: before a mistake so few that a telephone shows its place, and behind it
_PIECE = re.compile(r"""'[^']*'?|"[^"]*"?|`[^`]*`?|[\w.]+|[<>=~!]+|.""", re.DOTALL)
# What each terminal of the grammar is called, in the order in which they are listed.
_WORDS = {
    "METRIC": "metrics.…",
    "PARAMETER": "params.…",
    "TAG": "tags.…",
    "DATASET": "dataset.name, dataset.digest, dataset.context",
    "NUMERIC": "start_time, end_time, duration",
    "RUN_ID": "run_id",
    "TEXTUAL": "run_name, status, user_id, artifact_uri",
    "AGGREGATE": "min(…), max(…), first(…), last(…), count(…)",
    "EQUAL": "=, !=",
    "ORDER": "<, <=, >, >=",
    "LIKE": "LIKE",
    "ILIKE": "ILIKE",
    "MATCH": "~, !~",
    "IN": "IN",
    "NOT_IN": "NOT IN",
    "IS_NULL": "IS NULL",
    "IS_NOT_NULL": "IS NOT NULL",
    "NUMBER": "a number",
    "STRING": "a quoted text",
    "PYTHON": "a quoted text",
    "_COMMA": "a comma",
    "_AND": "AND",
    "_OR": "OR",
    "_NOT": "NOT",
    "_OPEN": "(",
    "_CLOSE": ")",
    "$END": "the end",
}


class Unreadable(Invalid):
    """No filter: what was `found` at which `position`, counted from 0, where only what is `expected` may be.

    `detail` shows the place, with a caret below it.
    """

    def __init__(
        self,
        text: str,
        position: int,
        problem: str,
        *,
        found: str = "",
        expected: Iterable[str] = (),
    ) -> None:
        super().__init__(
            f"Invalid filter at character {position + 1}: {problem}.",
            detail=_with_caret(text, position),
        )
        self.position, self.found, self.expected = position, found, tuple(expected)


def explained(text: str, start: str, mistake: UnexpectedInput) -> Unreadable:
    position, found = _place(text, mistake)
    expected = _expected(text[:position], start)
    if found[:1] in ("'", '"', "`") and found.count(found[0]) == 1:
        return Unreadable(
            text,
            position,
            f"the quote {found[0]} is never closed",
            found=found,
            expected=[found[0]],
        )
    problem = (
        f"expected {_listed(expected)}, found {f'`{_shortened(found)}`' if found else 'the end'}"
    )
    return Unreadable(text, position, problem, found=found, expected=expected)


def _place(text: str, mistake: UnexpectedInput) -> tuple[int, str]:
    """Where the mistake is, and what stands there: nothing at the end."""
    if isinstance(mistake, UnexpectedToken) and mistake.token.type == "$END":
        return len(text), ""
    position: Any = mistake.pos_in_stream
    piece = _PIECE.match(text, position)
    return position, piece[0] if piece else ""


def _expected(before: str, start: str) -> list[str]:
    """What may follow. The parser that met the mistake has forgotten some of it: another one stops before."""
    parser: Any = language().parse_interactive(before, start)
    parser.exhaust_lexer()
    accepted = parser.accepts()
    return [
        word for name, words in _WORDS.items() if name in accepted for word in words.split(", ")
    ]


def _listed(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _shortened(found: str) -> str:
    return found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…"


def _with_caret(text: str, position: int) -> str:
    """Some of the text before and behind, on one line, and a caret below the character."""
    start, end = max(position - _BEFORE, 0), position + _SHOWN
    before = ("…" if start else "") + text[start:position]
    behind = text[position:end] + ("…" if end < len(text) else "")
    line = "".join(letter if letter.isprintable() else " " for letter in before + behind)
    return f"{line}\n{' ' * len(before)}^"
