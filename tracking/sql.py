"""Pieces of SQL, each with the values that are given to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from studio.lib.errors import Invalid

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
_ATTRIBUTES = {
    "artifact_uri": "artifact_uri",
    "duration": "(runs.end_time - runs.start_time)",
    "end_time": "end_time",
    "experiment_id": "experiment_id",
    "lifecycle_stage": "lifecycle_stage",
    "run_id": "run_uuid",
    "run_name": "name",
    "start_time": "start_time",
    "status": "status",
    "user_id": "user_id",
}
# Where MLflow keeps a run's values, by their kind.
TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}


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


def attribute(key: str) -> str:
    """What an attribute of a row `runs` is in SQL. Raises Invalid: it stands there as it is."""
    if key not in _ATTRIBUTES:
        raise Invalid(f"Invalid attribute key '{key}'")
    column = _ATTRIBUTES[key]
    return column if column.startswith("(") else f"runs.{column}"
