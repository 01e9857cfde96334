"""Puts what is there to be read into the database of the running Studio, and takes it out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from tests.differential.reading import rows
from tests.differential.reading.ids import EXPERIMENTS, OWN, RUNS, SECOND
from tests.differential.reading.rows import Row

# In an order in which each finds what it refers to.
_TABLES = {
    "experiments": rows.experiments,
    "experiment_tags": rows.experiment_tags,
    "runs": rows.runs,
    "latest_metrics": rows.latest_metrics,
    "params": rows.params,
    "tags": rows.tags,
    "metrics": rows.metrics,
    "datasets": rows.datasets,
    "inputs": rows.inputs,
    "input_tags": rows.input_tags,
    "logged_models": rows.logged_models,
}
_GRANTS = """
INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)
VALUES (%s, 'experiment', %s, %s)
"""
_CLEAR = (
    "DELETE FROM input_tags WHERE input_uuid = ANY(%(inputs)s)",
    "DELETE FROM inputs WHERE input_uuid = ANY(%(inputs)s)",
    *(
        f"DELETE FROM {table} WHERE run_uuid = ANY(%(runs)s)"  # noqa: S608 - constants
        for table in ("metrics", "latest_metrics", "params", "tags")
    ),
    *(
        f"DELETE FROM {table} WHERE experiment_id = ANY(%(experiments)s)"  # noqa: S608 - constants
        for table in ("datasets", "logged_models", "runs", "experiment_tags", "experiments")
    ),
    "DELETE FROM role_permissions WHERE resource_type = 'experiment' AND resource_pattern = ANY(%(patterns)s)",
)


def plant(connection: psycopg.Connection[Any], grants: list[tuple[int, str]]) -> None:
    """Store all rows, with these grants on the experiments OWN and SECOND, by role."""
    with connection.transaction(), connection.cursor() as cursor:
        for table, made in _TABLES.items():
            _copy(cursor, table, made())
        given = [(role, str(e), permission) for e in (OWN, SECOND) for role, permission in grants]
        cursor.executemany(_GRANTS, given)


def clear(connection: psycopg.Connection[Any]) -> None:
    """Delete what `plant` has stored."""
    given = {
        "inputs": [row["input_uuid"] for row in rows.inputs()],
        "runs": list(RUNS.values()),
        "experiments": list(EXPERIMENTS),
        "patterns": [str(experiment) for experiment in EXPERIMENTS],
    }
    with connection.transaction():
        for statement in _CLEAR:
            connection.execute(statement, given)


def _copy(cursor: psycopg.Cursor[Any], table: str, made: Iterable[Row]) -> None:
    found = list(made)
    columns = list(found[0])
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in found:
            copy.write_row([row[column] for column in columns])
