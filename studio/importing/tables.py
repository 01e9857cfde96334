"""What fits into MLflow's tables, read from the tables themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from studio.accounts.permissions import WORKSPACE
from studio.importing.units import Refused, Row

# MLflow's numbers for what JSON and SQL cannot hold.
_LARGEST = 1.7976931348623157e308
# Of columns that a source may not know.
_DEFAULTS: Row = {
    "workspace": WORKSPACE,
    "step": 0,
    "is_nan": False,
    "db_payload_generation": 0,
    "is_numeric_value": False,
}


class Part(NamedTuple):
    """A table, and its column that names the thing to which a row belongs."""

    table: str
    owner: str


class Shape(NamedTuple):
    """The tables of a kind of thing: its own, and those of its parts, in the order of writing."""

    main: Part
    parts: tuple[Part, ...]


SHAPES = {
    "run": Shape(
        Part("runs", "run_uuid"),
        (
            Part("params", "run_uuid"),
            Part("tags", "run_uuid"),
            Part("metrics", "run_uuid"),
            Part("latest_metrics", "run_uuid"),
            Part("datasets", ""),
            Part("inputs", ""),
            Part("input_tags", ""),
        ),
    ),
    "logged model": Shape(
        Part("logged_models", "model_id"),
        (
            Part("logged_model_params", "model_id"),
            Part("logged_model_tags", "model_id"),
            Part("logged_model_metrics", "model_id"),
        ),
    ),
    "trace": Shape(
        Part("trace_info", "request_id"),
        (
            Part("trace_tags", "request_id"),
            Part("trace_request_metadata", "request_id"),
            Part("trace_metrics", "request_id"),
            Part("spans", "trace_id"),
            Part("span_metrics", "trace_id"),
            Part("assessments", "trace_id"),
            Part("entity_associations", ""),
        ),
    ),
    "registered model": Shape(
        Part("registered_models", ""),
        (
            Part("registered_model_tags", ""),
            Part("model_versions", ""),
            Part("model_version_tags", ""),
            Part("registered_model_aliases", ""),
        ),
    ),
    "experiment": Shape(Part("experiments", ""), (Part("experiment_tags", ""),)),
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    longest: int | None
    optional: bool
    key: bool

    def fit(self, value: Any, cut: Callable[[str], None]) -> Any:
        """The value as this column holds it. `cut` is told when some of it is lost; raises Refused."""
        if value is None:
            if not self.optional:
                raise Refused(f"{self.name} is missing")
            return None
        if self.type in _NUMBERS:
            return _number(self.name, value, *_NUMBERS[self.type])
        if self.type == "double precision":
            return _float(self.name, value)
        if self.type == "boolean":
            return bool(value)
        text = self._text(value)
        if self.longest is not None and len(text) > self.longest:
            if self.key:
                raise Refused(f"{self.name} is longer than {self.longest} characters")
            cut(f"{self.name} was cut to {self.longest} characters")
            return text[: self.longest]
        return text

    def _text(self, value: Any) -> str:
        if not isinstance(value, (str, int, float)):
            raise Refused(f"{self.name} is no text")
        try:
            text = str(value)
        except ValueError:
            raise Refused(f"{self.name} is too large a number") from None
        if "\0" in text:
            raise Refused(f"{self.name} holds a NUL character, which PostgreSQL does not store")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused(f"{self.name} is not valid UTF-8") from None
        return text


_NUMBERS = {"integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}


def _number(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise Refused(f"{name} is not a whole number") from None
    if not least <= number <= most:
        raise Refused(f"{name} is too large a number")
    return number


def _float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        raise Refused(f"{name} is not a number") from None


def stored(value: float) -> tuple[float, bool]:
    """A metric's value as MLflow stores it: NaN is 0 and a mark, an infinity is the largest number."""
    if math.isnan(value):
        return 0.0, True
    return max(-_LARGEST, min(_LARGEST, value)), False


class Table:
    """One of MLflow's tables. Rows become tuples in the order of `columns`."""

    def __init__(self, name: str, columns: list[Column]) -> None:
        self.name = name
        self.columns = columns

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def fit(self, row: Row, cut: Callable[[str], None]) -> tuple[Any, ...]:
        return tuple(
            column.fit(row.get(column.name, _DEFAULTS.get(column.name)), cut)
            for column in self.columns
        )


def read_tables() -> dict[str, Table]:
    """All tables of all kinds. What the database makes by itself is no column of ours."""
    wanted = [part.table for shape in SHAPES.values() for part in (shape.main, *shape.parts)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, NULL),
                   CASE WHEN t.typname = 'varchar' AND a.atttypmod > 0 THEN a.atttypmod - 4 END,
                   NOT a.attnotnull, coalesce(a.attnum = ANY(i.indkey), false)
              FROM pg_attribute a
              JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
             WHERE a.attrelid = ANY(%s::regclass[]) AND a.attnum > 0
               AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attrelid, a.attnum
            """,
            [wanted],
        )
        rows = cursor.fetchall()
    return {
        name: Table(name, list(_columns(row[1:] for row in rows if row[0] == name)))
        for name in wanted
    }


def _columns(rows: Iterator[tuple[Any, ...]]) -> Iterator[Column]:
    return (Column(*row) for row in rows)
