"""An SQLite file of MLflow's: a copy of it, brought up to date by MLflow's own revisions."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.accounts.permissions import WORKSPACE
from studio.importing import local
from studio.importing.local import Roots
from studio.importing.report import Report
from studio.importing.sources import reading
from studio.importing.tables import SHAPES
from studio.importing.units import (
    EXPERIMENT,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    Files,
    Item,
    Point,
    Refused,
    Row,
    Rows,
    Unit,
)
from studio.lib.errors import Invalid
from studio.mlflow import survey

_PAGE = 1000
_LOCATION = "mlflow.artifactLocation"
# As MLflow's walls have it: the name of a folder.
_TRACE_ID = re.compile(r"[\w:@=+~-][\w.:@=+~-]*")
# What MLflow makes by itself, or counts again from what is imported.
_OWN = ("alembic_version", "sqlite_", "sql_", "workspaces", "job_locks", "scheduler_leases")
_USERS = ("users", "roles", "role_permissions", "user_role_assignments")


class Database:
    """Reads the copy. The file itself is only ever read, by SQLite's own copying of what may be in use."""

    def __init__(self, path: Path, artifacts: list[Path], report: Report, work: Path) -> None:
        self.label = f"the SQLite file {path}"
        beside = path.resolve().parent
        self.report = report
        self.roots = Roots([beside / "mlruns", beside / "mlartifacts"], artifacts, beside)
        copy = _copied(path, work)
        _bring_up_to_date(copy, path)
        self._connection = sqlite3.connect(copy)
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = _text
        self._connection.execute("PRAGMA trusted_schema = OFF")
        for row in self._all("SELECT artifact_location FROM experiments"):
            self.roots.learn(str(row["artifact_location"] or ""))

    def close(self) -> None:
        self._connection.close()

    def runs_expected(self) -> int:
        (row,) = self._all("SELECT count(*) AS n FROM runs")
        return int(row["n"])

    def experiments(self) -> Iterator[Item]:
        for row in self._all("SELECT * FROM experiments ORDER BY experiment_id"):
            name = str(row["experiment_id"])
            if row["workspace"] != WORKSPACE:
                self._of_workspace(EXPERIMENT, name, row["workspace"])
                continue
            yield Item(name, lambda row=row, name=name: self._experiment(name, row))  # type: ignore[misc]

    def runs(self, experiment: str) -> Iterator[Item]:
        return self._items(RUN, experiment)

    def logged_models(self, experiment: str) -> Iterator[Item]:
        return self._items(LOGGED_MODEL, experiment)

    def traces(self, experiment: str) -> Iterator[Item]:
        return self._items(TRACE, experiment)

    def registered_models(self) -> Iterator[Item]:
        for row in self._all("SELECT * FROM registered_models ORDER BY name"):
            if row["workspace"] != WORKSPACE:
                self._of_workspace(REGISTERED_MODEL, row["name"], row["workspace"])
                continue
            yield Item(row["name"], lambda row=row: self._registered_model(row))  # type: ignore[misc]

    def leave(self) -> None:
        """Tables with rows that no kind of thing holds: jobs, webhooks, evaluation datasets, and so on."""
        ours = {part.table for shape in SHAPES.values() for part in (shape.main, *shape.parts)}
        for row in self._all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
            table = row["name"]
            if table in ours or table in _USERS or table.startswith(_OWN):
                continue
            quoted = table.replace('"', '""')
            (found,) = self._all(f'SELECT count(*) AS n FROM "{quoted}"')  # noqa: S608 - quoted
            if found["n"]:
                self.report.left("table", table, "Studio does not import it", f"{found['n']} rows")

    def _of_workspace(self, kind: str, name: str, workspace: str) -> None:
        self.report.left(kind, name, f"it is in workspace {workspace!r}, not in {WORKSPACE!r}")

    def _experiment(self, name: str, row: Row) -> Unit:
        if not name.isdecimal() or not isinstance(row["name"], str):
            raise Refused("its id is no number, or its name no text")
        tags = self._all("SELECT * FROM experiment_tags WHERE experiment_id = ?", int(name))
        return Unit(EXPERIMENT, name, {"experiments": [row], "experiment_tags": tags})

    def _items(self, kind: str, experiment: str) -> Iterator[Item]:
        """Ids of a kind in an experiment, page by page: nothing holds all of them."""
        table, key = SHAPES[kind].main
        last = ""
        while True:
            ids = [
                row["id"]
                for row in self._all(
                    f"SELECT {key} AS id FROM {table} WHERE experiment_id = ? AND {key} > ? "  # noqa: S608 - constants
                    f"ORDER BY {key} LIMIT {_PAGE}",
                    int(experiment),
                    last,
                )
            ]
            for name in ids:
                yield Item(name, lambda name=name: self._unit(kind, name, experiment))  # type: ignore[misc]
            if len(ids) < _PAGE:
                return
            last = ids[-1]

    def _unit(self, kind: str, name: str, experiment: str) -> Unit:
        if not (_TRACE_ID if kind == TRACE else reading.ID).fullmatch(name):
            raise Refused("its id is none that MLflow gives")
        shape = SHAPES[kind]
        rows: Rows = {
            part.table: self._all(f"SELECT * FROM {part.table} WHERE {part.owner} = ?", name)  # noqa: S608 - constants
            for part in (shape.main, *shape.parts)
            if part.owner and part.table != "metrics"
        }
        main = rows[shape.main.table][0]
        if kind == RUN:
            return self._run(name, experiment, main["artifact_uri"] or "", rows)
        if kind == LOGGED_MODEL:
            address = main["artifact_location"]
            files = self._files(address)
            return Unit(kind, name, rows, experiment=experiment, files=files, address=address)
        return self._trace(name, experiment, rows)

    def _run(self, name: str, experiment: str, address: str, rows: Rows) -> Unit:
        (counted,) = self._all("SELECT count(*) AS n FROM metrics WHERE run_uuid = ?", name)
        return Unit(
            RUN,
            name,
            rows | self._links(name, experiment),
            experiment=experiment,
            points=lambda: self._points(name),
            files=self._files(address),
            address=address,
            weight=counted["n"],
        )

    def _points(self, run: str) -> Iterator[Point]:
        found = self._connection.execute(
            "SELECT key, CASE WHEN is_nan THEN NULL ELSE value END, timestamp, step"
            "  FROM metrics WHERE run_uuid = ?",
            [run],
        )
        broken = 0
        for key, value, timestamp, step in found:
            try:
                yield (
                    key,
                    float("nan") if value is None else float(value),
                    int(timestamp),
                    int(step),
                )
            except (TypeError, ValueError, OverflowError):
                broken += 1
        if broken:
            told = f"{broken} of them are no value, time and step"
            self.report.left("metric", run, "points that do not parse", told)

    def _links(self, run: str, experiment: str) -> Rows:
        inputs = self._all(
            "SELECT * FROM inputs WHERE (destination_type = 'RUN' AND destination_id = ?)"
            " OR (source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id = ?)",
            run,
            run,
        )
        if not inputs:
            return {}
        rows: Rows = {"inputs": inputs, "datasets": [], "input_tags": []}
        for row in inputs:
            rows["input_tags"] += self._all(
                "SELECT * FROM input_tags WHERE input_uuid = ?", row["input_uuid"]
            )
            if row["source_type"] == "DATASET":
                rows["datasets"] += self._all(
                    "SELECT * FROM datasets WHERE dataset_uuid = ? AND experiment_id = ?",
                    row["source_id"],
                    int(experiment),
                )
        return rows

    def _trace(self, name: str, experiment: str, rows: Rows) -> Unit:
        rows["entity_associations"] = self._all(
            "SELECT * FROM entity_associations WHERE source_type = 'trace' AND source_id = ?", name
        )
        address = next((row["value"] for row in rows["trace_tags"] if row["key"] == _LOCATION), "")
        return Unit(
            TRACE,
            name,
            rows,
            experiment=experiment,
            files=self._files(address) if address else None,
            address=address,
        )

    def _registered_model(self, row: Row) -> Unit:
        name = row["name"]
        rows: Rows = {"registered_models": [row]}
        for part in SHAPES[REGISTERED_MODEL].parts:
            rows[part.table] = self._all(
                f"SELECT * FROM {part.table} WHERE workspace = ? AND name = ?",  # noqa: S608 - a constant
                WORKSPACE,
                name,
            )
        return Unit(REGISTERED_MODEL, name, rows)

    def _files(self, address: str) -> Files:
        return local.Late(lambda: self.roots.files(address))

    def _all(self, query: str, *values: Any) -> list[Row]:
        return [dict(row) for row in self._connection.execute(query, values)]


def _text(raw: bytes) -> str:
    """Text that is not UTF-8 is kept as such: the report tells of it, and nothing fails."""
    return raw.decode(errors="surrogateescape")


def _copied(path: Path, work: Path) -> Path:
    """A copy of what the file holds now, also while an MLflow server writes to it. Raises Invalid."""
    copy = work / "source.db"
    try:
        source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
            names = {row[0] for row in target.execute("SELECT name FROM sqlite_master")}
        finally:
            source.close()
            target.close()
    except sqlite3.Error as failure:
        raise Invalid(f"{path} cannot be read as an SQLite file: {failure}.") from None
    if not {"experiments", "runs"} <= names:
        raise Invalid(f"{path} is an SQLite file, but no database of MLflow's.")
    return copy


def _bring_up_to_date(copy: Path, path: Path) -> None:
    """Have MLflow upgrade the copy, in a process of its own: it sets logging and warnings as it likes. Raises Invalid."""
    folder = "store/db_migrations/versions"
    connection = sqlite3.connect(copy)
    try:
        found = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
    except sqlite3.Error:  # a database of before MLflow counted revisions
        found = set()
    finally:
        connection.close()
    if found == {survey.head(folder)}:
        return
    if not found <= survey.revisions(folder):
        raise Invalid(
            f"{path} was written by a later MLflow than the one of this Studio (revision "
            f"{', '.join(sorted(found))}). Upgrade Studio first."
        )
    command = [sys.executable, "-c", _UPGRADE, f"sqlite:///{copy}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it does not say why"]
        raise Invalid(f"MLflow could not bring a copy of {path} up to date: {last[0][:500]}")


_UPGRADE = """
import sys
import sqlalchemy
from mlflow.store.db import utils
engine = sqlalchemy.create_engine(sys.argv[1])
utils._safe_initialize_tables(engine)
utils._upgrade_db(engine)
"""
