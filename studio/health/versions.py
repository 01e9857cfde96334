"""What runs here, by version, and whether the tables are those of this version."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from studio.mlflow.survey import REVISIONS, head

_FRESH = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Revision:
    """Of a group of tables: what the database is at, and what this version wants."""

    name: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Schema:
    revisions: tuple[Revision, ...]
    backlog: tuple[str, ...]  # migrations of Django's that are still to be run

    @property
    def current(self) -> bool:
        return not self.backlog and all(one.found == one.wanted for one in self.revisions)


class _Cached:
    at = float("-inf")
    schema: Schema | None = None


def programs() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        [postgres] = cursor.fetchone()
    return _packages() | {"postgresql": postgres.split(" ")[0]}


def schema() -> Schema:
    """Looked at once a minute: it reads many files."""
    if _Cached.schema is None or time.monotonic() - _Cached.at > _FRESH:
        _Cached.schema, _Cached.at = _schema(), time.monotonic()
    return _Cached.schema


@cache
def _packages() -> dict[str, str]:
    return {
        "studio": settings.VERSION,
        "mlflow": version("mlflow"),
        "django": version("django"),
        "python": platform.python_version(),
    }


def _schema() -> Schema:
    revisions = []
    with connection.cursor() as cursor:
        for table, folder in REVISIONS.items():
            cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - one of two constants
            found = ", ".join(sorted(row[0] for row in cursor.fetchall()))
            name = "MLflow's permissions" if table.endswith("auth") else "MLflow's tracking"
            revisions.append(Revision(name, found, head(folder)))
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Schema(tuple(revisions), tuple(f"{one.app_label}.{one.name}" for one, _ in plan))
