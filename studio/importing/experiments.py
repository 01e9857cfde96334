"""Which experiment of this Studio each experiment of a source becomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import DataError, IntegrityError, connection, transaction

from studio.accounts.permissions import WORKSPACE
from studio.importing.report import Report
from studio.importing.tables import Table
from studio.importing.units import EXPERIMENT, Refused, Row, Unit

# Set on an experiment that could not keep its id, so that a later import finds it whatever its name is then.
MARK = "studio.imported_from"
# Ids above are not kept: those after the highest would soon be used up. MLflow's file store makes 18 digits.
_HIGHEST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Here:
    id: int
    name: str
    created: int | None
    stage: str


class Experiments:
    """Finds or makes them. `places` holds the id here of each id of the source."""

    def __init__(self, tables: dict[str, Table], report: Report, *, dry: bool) -> None:
        self.places: dict[str, int] = {}
        self.made: set[int] = set()
        self._tables, self._report, self._dry = tables, report, dry
        self._by_name: dict[str, _Here] = {}
        self._by_id: dict[int, _Here] = {}
        self._marks: dict[str, int] = {}

    def take(self, units: Iterable[Unit]) -> None:
        """Give each a place, in one transaction. Who makes experiments meanwhile waits for it: milliseconds."""
        given = list(units)
        with transaction.atomic(), connection.cursor() as cursor:
            if not self._dry:
                cursor.execute("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE")
            self._look(cursor)
            fresh = [unit for unit in given if not self._find(unit)]
            keep = [unit for unit in fresh if self._may_keep(unit)]
            for unit in keep:
                self._make(cursor, unit, int(unit.id))
            if not self._dry:
                _advance(cursor)
            for unit in fresh:
                if unit not in keep:
                    self._make_anew(cursor, unit)
            for unit in given:
                self._tag(cursor, unit)

    def _look(self, cursor: Any) -> None:
        cursor.execute(
            "SELECT experiment_id, name, creation_time, lifecycle_stage, workspace FROM experiments"
        )
        for number, name, created, stage, workspace in cursor.fetchall():
            here = _Here(number, name, created, stage)
            self._by_id[number] = here
            if workspace == WORKSPACE:
                self._by_name[name] = here
        cursor.execute("SELECT value, experiment_id FROM experiment_tags WHERE key = %s", [MARK])
        self._marks = dict(cursor.fetchall())

    def _find(self, unit: Unit) -> bool:
        """Whether it is here already: by its mark, by id and time of creation, or by name."""
        row = unit.rows["experiments"][0]
        number, created = int(unit.id), row.get("creation_time")
        same = self._by_id.get(number)
        if (marked := self._marks.get(_mark(unit))) is not None:
            self.places[unit.id] = marked
        elif same and number and created is not None and same.created == created:
            self.places[unit.id] = number
        elif here := self._by_name.get(row["name"]):
            self.places[unit.id] = here.id
            self._tell_merged(unit, here)
        else:
            return False
        self._report.here[EXPERIMENT] += 1
        return True

    def _tell_merged(self, unit: Unit, here: _Here) -> None:
        name = f"{unit.id} {here.name!r}"
        if here.id == 0 and unit.id == "0":
            return
        gone = ", which is deleted" if here.stage == "deleted" else ""
        self._report.note(
            EXPERIMENT, name, f"merged into experiment {here.id} of the same name{gone}"
        )

    def _may_keep(self, unit: Unit) -> bool:
        number = int(unit.id)
        if not 0 <= number <= _HIGHEST or number in self._by_id:
            return False
        # Two of a source may have one name: the second is merged into the first.
        name = unit.rows["experiments"][0]["name"]
        if name in self._by_name:
            return False
        self._by_id[number] = self._by_name[name] = _Here(number, name, None, "active")
        return True

    def _make_anew(self, cursor: Any, unit: Unit) -> None:
        name = unit.rows["experiments"][0]["name"]
        if here := self._by_name.get(name):
            self.places[unit.id] = here.id
            self._tell_merged(unit, here)
            return
        number = -1 - len(self.made) if self._dry else _next(cursor)
        reason = (
            "is another's here" if int(unit.id) in self._by_id else "is too large for PostgreSQL"
        )
        told = "a new one" if self._dry else str(number)
        self._by_name[name] = _Here(number, name, None, "active")
        unit.rows.setdefault("experiment_tags", []).append({"key": MARK, "value": _mark(unit)})
        self._make(cursor, unit, number)
        self._report.note(EXPERIMENT, f"{unit.id} {name!r}", f"its id {reason}: it became {told}")

    def _make(self, cursor: Any, unit: Unit, number: int) -> None:
        row = unit.rows["experiments"][0]
        row |= {"experiment_id": number, "artifact_location": f"mlflow-artifacts:/{number}"}
        try:
            self._insert(cursor, "experiments", unit, row)
        except Refused as refused:
            self._report.left(EXPERIMENT, unit.id, f"{refused}; nothing in it comes")
            return
        self.places[unit.id] = number
        self.made.add(number)
        self._report.came["experiments"] += 1

    def _tag(self, cursor: Any, unit: Unit) -> None:
        number = self.places.get(unit.id)
        # Of one that was here people may have removed some.
        rows = unit.rows.get("experiment_tags", []) if number in self.made else []
        for row in rows:
            if row["key"] == MARK and row["value"] != _mark(unit):
                continue  # of another Studio's import
            try:
                new = self._insert(cursor, "experiment_tags", unit, row | {"experiment_id": number})
                self._report.came["experiment_tags"] += new
            except Refused as refused:
                self._report.left("experiment tag", f"{unit.id} {row['key']}", str(refused))

    def _insert(self, cursor: Any, table: str, unit: Unit, row: Row) -> int:
        fitted = self._tables[table].fit(
            row, lambda text: self._report.left(EXPERIMENT, unit.id, text)
        )
        if self._dry:
            return 1
        names = ", ".join(self._tables[table].names)
        marks = ", ".join(["%s"] * len(fitted))
        try:
            with transaction.atomic():
                cursor.execute(
                    f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608 - names of MLflow's columns
                    fitted,
                )
        except (DataError, IntegrityError) as failure:
            told = str(failure).partition("\n")[0]
            raise Refused(f"the database refuses it: {told}") from None
        return int(cursor.rowcount)


def _mark(unit: Unit) -> str:
    """What tells it from others of its id: old MLflows note no time."""
    row = unit.rows["experiments"][0]
    created = row.get("creation_time")
    return f"{unit.id} {row['name'] if created is None else created}"


def _advance(cursor: Any) -> None:
    """Let the next experiment that anybody makes get an id that is free."""
    cursor.execute(
        """
        SELECT setval(name, greatest(last, (SELECT max(experiment_id) FROM experiments)))
          FROM (SELECT pg_get_serial_sequence('experiments', 'experiment_id') AS name,
                       (SELECT last_value FROM experiments_experiment_id_seq) AS last) AS own
        """
    )


def _next(cursor: Any) -> int:
    cursor.execute("SELECT nextval(pg_get_serial_sequence('experiments', 'experiment_id'))")
    return int(cursor.fetchone()[0])
