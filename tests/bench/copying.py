"""Rows into a database by COPY, made in Python while PostgreSQL stores those before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql


@dataclass(frozen=True, slots=True)
class Rows:
    """Of one table, their values in the order of `columns`."""

    table: str
    columns: Sequence[str]
    each: Iterable[Sequence[object]]


def copy_rows(connection: psycopg.Connection[Any], tables: Sequence[Rows]) -> None:
    """All of them, or none. `connection` must be in autocommit.

    VACUUM and ANALYZE are what PostgreSQL does by itself, a minute later.
    """
    with connection.transaction(), connection.cursor() as cursor:
        for rows in tables:
            _copy(cursor, rows)
    names = sql.SQL(", ").join(sql.Identifier(rows.table) for rows in tables)
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(names))


def _copy(cursor: psycopg.Cursor[Any], rows: Rows) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    into = {"columns": columns, "table": sql.Identifier(rows.table)}
    cursor.execute(sql.SQL("SELECT {columns} FROM {table} LIMIT 0").format(**into))
    types = [column.type_code for column in cursor.description or ()]
    # Binary, which needs the exact types, is quicker than text.
    statement = sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT binary)").format(**into)
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows.each:
            copy.write_row(row)
