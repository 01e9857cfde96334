"""Pieces of SQL, each with the values that are given to it: what searches are put together of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from studio.lib.errors import Invalid

PATIENCE = 30  # seconds, after which a search is broken off
TOO_LONG = (
    f"This search was given up after {PATIENCE} seconds. Narrow it: by fewer experiments, by a condition that leaves "
    "fewer results, or by a simpler pattern."
)
# Of a value, and what it is compared with. A missing value is not unequal to anything.
_COMPARISONS = {
    "=": "{} = %s",
    "!=": "{} <> %s",
    "<": "{} < %s",
    "<=": "{} <= %s",
    ">": "{} > %s",
    ">=": "{} >= %s",
    "LIKE": "{} LIKE %s",
    "ILIKE": "{} ILIKE %s",
    "~": "{} ~ %s",
    "!~": "{} !~ %s",
    "IN": "{} = ANY(%s)",
    "NOT IN": "{} <> ALL(%s)",
}


class Sql(NamedTuple):
    """A piece of SQL with a `%s` for each value that is given to it."""

    text: str
    given: tuple[Any, ...] = ()


def every(pieces: Sequence[Sql]) -> Sql:
    """All of them hold, or there are none."""
    return _joined(" AND ", pieces, "true")


def some(pieces: Sequence[Sql]) -> Sql:
    """One of them holds."""
    return _joined(" OR ", pieces, "false")


def _joined(word: str, pieces: Sequence[Sql], none: str) -> Sql:
    text = word.join(f"({piece.text})" for piece in pieces)
    return Sql(text or none, tuple(value for piece in pieces for value in piece.given))


def compared(value: str, comparator: str, other: Any) -> Sql:
    """How SQL's `value` must be to what is given.

    Raises Invalid for a pattern that ends within an escape, and for a list where there can be none.
    """
    if isinstance(other, tuple) != (comparator in ("IN", "NOT IN")):
        raise Invalid(f"{comparator} compares with one text: a list goes with IN and NOT IN.")
    if comparator in ("LIKE", "ILIKE") and (len(other) - len(other.rstrip("\\"))) % 2:
        raise Invalid("A pattern must not end with a single \\: write two for one.")
    given = list(other) if comparator in ("IN", "NOT IN") else other
    return Sql(_COMPARISONS[comparator].format(value), (given,))
