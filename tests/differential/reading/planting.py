"""Puts what is there to be read into the database of the running Studio, and takes it out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from tests.differential.cast import Cast
from tests.differential.reading import registry_rows, rows
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
# For the role that holds a user's own grants.
_OWN_ROLE = "SELECT r.id FROM users u JOIN roles r ON r.name = '__user_' || u.id || '__' WHERE u.username = %s"
_GIVE = f"""
INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) VALUES (({_OWN_ROLE}), %s, %s, %s)
"""  # noqa: S608 - constants
_TAKE = f"""
DELETE FROM role_permissions
WHERE role_id = ({_OWN_ROLE}) AND resource_type = %s AND resource_pattern = %s AND permission = %s
"""  # noqa: S608 - constants
_CLEAR = (
    *(
        f"DELETE FROM {table} WHERE name = ANY(%(names)s)"  # noqa: S608 - constants
        for table in reversed(registry_rows.tables())
    ),
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


def plant(connection: psycopg.Connection[Any], cast: Cast) -> None:
    """Store all rows; with the cast's grants on the experiments OWN and SECOND, and on models."""
    with connection.transaction(), connection.cursor() as cursor:
        for table, made in _TABLES.items():
            _copy(cursor, table, made())
        for table, found in registry_rows.tables().items():
            _copy(cursor, table, found)
        given = [
            (role, str(experiment), permission)
            for experiment in (OWN, SECOND)
            for role, permission in cast.grants
        ]
        cursor.executemany(_GRANTS, given)
        cursor.executemany(_GIVE, _on_models(cast))


def clear(connection: psycopg.Connection[Any], cast: Cast) -> None:
    """Delete what `plant` has stored."""
    given = {
        "inputs": [row["input_uuid"] for row in rows.inputs()],
        "runs": list(RUNS.values()),
        "experiments": list(EXPERIMENTS),
        "patterns": [str(experiment) for experiment in EXPERIMENTS],
        "names": list(registry_rows.NAMES),
    }
    with connection.transaction(), connection.cursor() as cursor:
        for statement in _CLEAR:
            cursor.execute(statement, given)
        cursor.executemany(_TAKE, _on_models(cast))


def _on_models(cast: Cast) -> list[tuple[str, ...]]:
    return [
        (cast.names[who], *grant) for who, some in registry_rows.GRANTS.items() for grant in some
    ]


def _copy(cursor: psycopg.Cursor[Any], table: str, made: Iterable[Row]) -> None:
    found = list(made)
    columns = list(found[0])
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in found:
            copy.write_row([row[column] for column in columns])
