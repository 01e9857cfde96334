"""What this Studio's tables hold, row by row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from studio.importing.tables import read_tables

Rows = dict[str, list[tuple[Any, ...]]]


def all_rows(*without: str) -> Rows:
    """Every row of MLflow's tables that an import writes, in order, without columns of these names."""
    found = {}
    for name, table in read_tables().items():
        columns = ", ".join(f'"{column}"' for column in table.names if column not in without)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {name}")  # noqa: S608 - of MLflow's tables
            found[name] = sorted(cursor.fetchall(), key=repr)
    return found


def all_files() -> dict[str, str]:
    """Every file below STUDIO_ARTIFACTS, with the digest of what it holds."""
    root = Path(settings.ARTIFACTS)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
