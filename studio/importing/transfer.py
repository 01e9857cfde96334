"""The import itself: batch after batch, files first, then rows, so that a row that is here is whole.

A run that an interrupted import did not finish has no row: the next import finds it missing and goes on there.
What lies in its folder by then is compared, not copied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from django.db import DatabaseError, DataError, connection

from studio.importing import addresses, versions
from studio.importing.experiments import Experiments
from studio.importing.progress import Progress
from studio.importing.report import Report
from studio.importing.shelf import Shelf
from studio.importing.tables import SHAPES
from studio.importing.units import (
    EXPERIMENT,
    LOGGED_MODEL,
    NONSENSE,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    File,
    Item,
    Refused,
    Source,
    Unit,
    Unreachable,
    is_storable,
)
from studio.importing.writer import Writer

_BATCH = 200
# A batch ends early with this many points, so that an interruption costs little.
_HEAVY = 200_000
_POINT = 30  # characters of text weigh as much
_NO_TEXT = "its name holds what PostgreSQL does not store as text"
_LOCATION = "mlflow.artifactLocation"


class Transfer:
    """One import of one source. `dry`: everything is read and checked, and nothing is written."""

    def __init__(
        self, source: Source, report: Report, progress: Progress, work: Path, *, dry: bool
    ) -> None:
        self._source, self._report, self._progress, self._dry = source, report, progress, dry
        self._writer = Writer(report, lambda points: progress.add(points=points))
        self._experiments = Experiments(self._writer.tables, report, dry=dry)
        self._shelf = Shelf(work)
        self._coming: dict[str, str] = {}

    def run(self) -> None:
        if not self._dry:
            self._shelf.open()
        try:
            self._all()
        finally:
            if not self._dry:
                self._shelf.close()

    def _all(self) -> None:
        self._progress.begin("experiments")
        self._experiments.take(self._read(EXPERIMENT, self._source.experiments()))
        places = self._experiments.places
        for kind, items in (
            (RUN, self._source.runs),
            (LOGGED_MODEL, self._source.logged_models),
            (TRACE, self._source.traces),
        ):
            self._progress.begin(f"{kind}s")
            for experiment in places:
                self._many(kind, items(experiment))
        self._progress.begin("registered models")
        for unit in self._read(REGISTERED_MODEL, self._source.registered_models()):
            self._register(unit)
        self._source.leave()

    def _register(self, unit: Unit) -> None:
        try:
            if not is_storable(unit.id):
                raise Refused(_NO_TEXT)
            coming = self._coming if self._dry else None
            settled = versions.settle(unit, self._report, coming)
        except Refused as refused:
            self._report.left(REGISTERED_MODEL, unit.id, str(refused))
        except (DataError, *NONSENSE) as failure:
            self._report.left(REGISTERED_MODEL, unit.id, _nonsense(failure))
        else:
            self._keep(REGISTERED_MODEL, [settled])

    def _read(self, kind: str, items: Iterable[Item]) -> Iterator[Unit]:
        for item in items:
            try:
                yield item.read()
            except Refused as refused:
                inside = "; nothing in it comes" if kind == EXPERIMENT else ""
                self._report.left(kind, item.id, f"{refused}{inside}")
            except NONSENSE as failure:
                self._report.left(kind, item.id, _nonsense(failure))

    def _many(self, kind: str, items: Iterator[Item]) -> None:
        while given := list(islice(items, _BATCH)):
            batch = [item for item in given if is_storable(item.id)]
            for item in given:
                if not is_storable(item.id):
                    self._report.left(kind, item.id, _NO_TEXT)
            here = self._writer.here(kind, [item.id for item in batch])
            new = [item for item in batch if item.id not in here]
            self._complete(kind, [item for item in batch if item.id in here], here)
            waiting: list[Unit] = []
            weight = 0
            for unit in self._read(kind, new):
                unit.rows[_main(kind)][0]["experiment_id"] = self._experiments.places[
                    unit.experiment
                ]
                waiting.append(unit)
                weight += unit.weight + _text(unit) // _POINT
                if weight >= _HEAVY:
                    self._keep(kind, waiting)
                    waiting, weight = [], 0
            self._keep(kind, waiting)

    def _complete(self, kind: str, items: list[Item], here: dict[str, str]) -> None:
        """What is here is left as it is. Only files that could not come before are looked for again."""
        if not items:
            return
        self._report.here[kind] += len(items)
        if kind == RUN:
            self._progress.add(runs=len(items))
        lacking = [item for item in items if here[item.id] and not addresses.is_own(here[item.id])]
        for unit in self._read(kind, lacking):
            # Another's address: it is no trace of an earlier import of this run.
            if here[unit.id] != addresses.elsewhere(unit.address):
                continue
            experiment = self._experiments.places[unit.experiment]
            address = self._fetch(unit, experiment)
            if addresses.is_own(address) and not self._dry:
                self._shelf.settle()
                self._writer.move(kind, unit.id, address)

    def _keep(self, kind: str, units: list[Unit]) -> None:
        """Files, then rows. A batch that the database refuses is tried thing by thing."""
        for unit in units:
            self._place(unit)
        if not units:
            return
        self._shelf.settle()
        try:
            with self._report.attempt():
                self._store(kind, units)
        except (Refused, DatabaseError) as failure:
            if isinstance(failure, DatabaseError) and not connection.is_usable():
                raise  # it is the database that is gone
            for unit in units if len(units) > 1 else ():
                self._keep_one(kind, unit)
            if len(units) == 1:
                self._report.left(kind, units[0].id, _words(failure))
        if kind == RUN:
            self._progress.add(runs=len(units))

    def _keep_one(self, kind: str, unit: Unit) -> None:
        try:
            with self._report.attempt():
                self._store(kind, [unit])
        except (Refused, DatabaseError) as failure:
            self._report.left(kind, unit.id, _words(failure))

    def _store(self, kind: str, units: list[Unit]) -> None:
        if self._dry:
            for unit in units:
                self._report.came.update(self._writer.check(kind, unit))
            return
        written = self._writer.write(kind, units)
        if lost := written.pop("without run", 0):
            self._report.left("logged model metric", f"{lost} points", "their run is not here")
        self._report.came.update(written)

    def _place(self, unit: Unit) -> None:
        """Bring the files of a thing, and say in its rows where they lie."""
        if unit.kind == REGISTERED_MODEL:
            return
        main = unit.rows[_main(unit.kind)][0]
        experiment = main["experiment_id"]
        for rows in unit.rows.values():
            for row in rows:
                if "experiment_id" in row:
                    row["experiment_id"] = experiment
        address = self._fetch(unit, experiment)
        if self._dry:
            self._coming[unit.id] = address
        _readdress(unit, address)

    def _fetch(self, unit: Unit, experiment: int) -> str:
        """Copy the files of a thing. Returns its address: its own here, or the old one where they are out of reach."""
        folder = addresses.folder(unit.kind, unit.id, experiment)
        label = f"files of a {unit.kind}"

        def refuse(path: str, reason: str) -> None:
            self._report.left(label, f"{unit.id} {path}", reason)

        if unit.files is None:
            return unit.address
        try:
            for file in unit.files.walk(refuse):
                try:
                    self._copy(folder, file)
                except Refused as refused:
                    refuse(file.path, str(refused))
                except NONSENSE as failure:
                    refuse(file.path, _nonsense(failure))
        except (Unreachable, *NONSENSE) as failure:
            told = str(failure) if isinstance(failure, Unreachable) else _nonsense(failure)
            self._report.left(label, unit.id, told, addresses.public(unit.address))
            return addresses.elsewhere(unit.address)
        return f"{addresses.OWN}{folder}"

    def _copy(self, folder: str, file: File) -> None:
        if self._dry:
            self._shelf.check(folder, file)
        elif not self._shelf.put(folder, file):
            self._progress.add(files=1)
            self._report.here["file"] += 1
            return
        self._report.came["files"] += 1
        self._report.came["bytes"] += file.size
        self._progress.add(files=1)


def _readdress(unit: Unit, address: str) -> None:
    main = unit.rows[_main(unit.kind)][0]
    if unit.kind == RUN:
        main["artifact_uri"] = address
    elif unit.kind == LOGGED_MODEL:
        main["artifact_location"] = address
    else:
        for row in unit.rows["trace_tags"]:
            if row["key"] == _LOCATION:
                row["value"] = address


def _main(kind: str) -> str:
    return SHAPES[kind].main.table


def _text(unit: Unit) -> int:
    """How much text a thing holds, params and spans say, by which its memory goes."""
    rows = (row for rows in unit.rows.values() for row in rows)
    return sum(len(value) for row in rows for value in row.values() if isinstance(value, str))


def _nonsense(failure: Exception) -> str:
    return f"it is none of MLflow's: {type(failure).__name__} {str(failure)[:200]}".strip()


def _words(failure: Exception) -> str:
    """What the database says without the row: that may be long, and is nobody's business here."""
    told = str(failure).split("\n")[0]
    return told if isinstance(failure, Refused) else f"the database refuses it: {told}"
