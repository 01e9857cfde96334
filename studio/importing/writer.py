"""Into MLflow's tables by COPY: a batch of things in one transaction, and nothing that is there is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from studio.importing.report import Report
from studio.importing.tables import SHAPES, Column, Part, Shape, Table, read_tables, stored
from studio.importing.units import Refused, Unit

_TICK = 10_000
_LEAST, _MOST = -(2**63), 2**63 - 1
# The order of a point's columns.
_POINT = ["key", "value", "timestamp", "run_uuid", "step", "is_nan"]

# MLflow's rule of which point is the last: the highest step, then time, then value.
_LATEST = """
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT DISTINCT ON (run_uuid, key) key, value, timestamp, step, is_nan, run_uuid
  FROM import_metrics
 ORDER BY run_uuid, key, step DESC, timestamp DESC, value DESC, is_nan
    ON CONFLICT DO NOTHING
"""

# A dataset that the experiment has already keeps its own id: inputs follow it.
_INPUTS = """
INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
SELECT i.input_uuid, i.source_type, coalesce(d.dataset_uuid, i.source_id), i.destination_type,
       i.destination_id, i.step
  FROM import_inputs i
  LEFT JOIN import_datasets s ON i.source_type = 'DATASET' AND s.dataset_uuid = i.source_id
  LEFT JOIN datasets d USING (experiment_id, name, digest)
    ON CONFLICT DO NOTHING
"""

# Of a run that is not here no model can have a metric.
_MODEL_METRICS = """
DELETE FROM import_logged_model_metrics m
 WHERE NOT EXISTS (SELECT FROM runs WHERE run_uuid = m.run_id)
"""


class Writer:
    """Writes whole things. `tick` is told how many points have been read since it was last called."""

    def __init__(self, report: Report, tick: Callable[[int], None]) -> None:
        self.tables = read_tables()
        self._report = report
        self._tick = tick
        with connection.cursor() as cursor:
            for name in self.tables:
                cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS import_{name} (LIKE {name})")

    def here(self, kind: str, ids: list[str]) -> dict[str, str]:
        """Which of these ids the database has, each with the address of its artifacts."""
        query = {
            "run": "SELECT run_uuid, artifact_uri FROM runs WHERE run_uuid = ANY(%s)",
            "logged model": "SELECT model_id, artifact_location FROM logged_models WHERE model_id = ANY(%s)",
            "trace": "SELECT request_id, '' FROM trace_info WHERE request_id = ANY(%s)",
        }[kind]
        with connection.cursor() as cursor:
            cursor.execute(query, [ids])
            return {name: address or "" for name, address in cursor.fetchall()}

    def move(self, kind: str, name: str, address: str) -> None:
        """Say where the artifacts of a thing lie that is here already."""
        query = {
            "run": "UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s",
            "logged model": "UPDATE logged_models SET artifact_location = %s WHERE model_id = %s",
        }[kind]
        with connection.cursor() as cursor:
            cursor.execute(query, [address, name])

    def write(self, kind: str, units: list[Unit]) -> Counter[str]:
        """All of them in one transaction. Returns how many rows each table got. Raises Refused or a DatabaseError."""
        shape = SHAPES[kind]
        with transaction.atomic(), connection.cursor() as cursor:
            for part in (shape.main, *shape.parts):
                cursor.execute(f"TRUNCATE import_{part.table}")
            for part in (shape.main, *shape.parts):
                self._copy(cursor, part, units)
            return self._insert(cursor, shape)

    def check(self, kind: str, unit: Unit) -> Counter[str]:
        """What `write` would write, without writing it."""
        shape = SHAPES[kind]
        return Counter(
            {
                part.table: sum(1 for _ in self._rows(self.tables[part.table], part, unit))
                for part in (shape.main, *shape.parts)
            }
        )

    def _copy(self, cursor: Any, part: Part, units: list[Unit]) -> None:
        table = self.tables[part.table]
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(f"import_{table.name}"),
            sql.SQL(", ").join(
                map(sql.Identifier, _POINT if part.table == "metrics" else table.names)
            ),
        )
        with cursor.copy(into) as copy:
            for unit in units:
                for row in self._rows(table, part, unit):
                    copy.write_row(row)

    def _rows(self, table: Table, part: Part, unit: Unit) -> Iterator[tuple[Any, ...]]:
        """The rows that fit. Of the thing itself all must."""
        if table.name == "metrics":
            yield from self._points(unit)
            return
        for row in unit.rows.get(table.name, ()):
            try:
                yield table.fit(row, lambda text, row=row: self._cut(unit, table, row, text))  # type: ignore[misc]
            except Refused as refused:
                if part == SHAPES[unit.kind].main:
                    raise
                self._report.left(_kind(table), _name(unit, row), str(refused))

    def _points(self, unit: Unit) -> Iterator[tuple[Any, ...]]:
        """As `_rows`, made for millions."""
        known, fits, read = "", False, 0
        key = next(column for column in self.tables["metrics"].columns if column.name == "key")
        for name, value, timestamp, step in unit.points():
            if name != known:
                known, fits = name, self._fits(key, unit, name)
            if not (fits and _LEAST <= timestamp <= _MOST and _LEAST <= step <= _MOST):
                if fits:
                    self._report.left("metric", f"{unit.id} {name}", "a time or step is too large")
                continue
            number, is_nan = stored(value)
            yield name, number, timestamp, unit.id, step, is_nan
            read += 1
            if read % _TICK == 0:
                self._tick(_TICK)
        self._tick(read % _TICK)

    def _fits(self, key: Column, unit: Unit, name: str) -> bool:
        try:
            key.fit(name, lambda text: None)
        except Refused as refused:
            self._report.left("metric", f"{unit.id} {name[:250]}", str(refused))
            return False
        return True

    def _cut(self, unit: Unit, table: Table, row: dict[str, Any], text: str) -> None:
        self._report.left(_kind(table), _name(unit, row), text)

    def _insert(self, cursor: Any, shape: Shape) -> Counter[str]:
        written: Counter[str] = Counter()
        for part in (shape.main, *shape.parts):
            if part.table == "logged_model_metrics":
                cursor.execute(_MODEL_METRICS)
                written["without run"] = cursor.rowcount
            cursor.execute(_INPUTS if part.table == "inputs" else self._plain(part.table))
            written[part.table] += cursor.rowcount
            if part.table == "latest_metrics":
                cursor.execute(_LATEST)
        return written

    def _plain(self, name: str) -> sql.Composed:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.tables[name].names))
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            sql.Identifier(name), columns, columns, sql.Identifier(f"import_{name}")
        )


def _kind(table: Table) -> str:
    """What a row of a table is called in the report."""
    return table.name.removesuffix("s").replace("_", " ")


def _name(unit: Unit, row: dict[str, Any]) -> str:
    """Whose row, and which."""
    names = ("key", "tag_key", "param_key", "name")
    key = next((row[name] for name in names if name in row), "")
    # Of another type it is refused, and may be a number that is too large to be told.
    return f"{unit.id} {key[:250] if isinstance(key, str) else ''}".strip()
