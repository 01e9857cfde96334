"""MLflow's file store: a folder (mlruns) of folders and small files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from studio.importing import local
from studio.importing.local import Folder, Roots
from studio.importing.report import Report
from studio.importing.sources import filemodels, reading, traces
from studio.importing.units import (
    EXPERIMENT,
    RUN,
    Files,
    Item,
    Point,
    Refused,
    Row,
    Unit,
    Unreachable,
)

_RESERVED = {"tags", "datasets", "traces", "models", ".trash"}
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_SOURCE = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL", 5: "UNKNOWN"}
# A line of a metric's file takes about as many bytes.
_LINE = 30


class FileStore:
    """Reads a file store without MLflow, since one that is broken must be read as well."""

    def __init__(self, root: Path, artifacts: list[Path], report: Report) -> None:
        self.label = f"the file store {root}"
        self.root, self.report = root, report
        self.roots = Roots([root, root.parent / "mlartifacts"], artifacts, root.parent)
        self._folders: dict[str, Path] = {}
        self._datasets: tuple[str, dict[str, Row]] = ("", {})

    def runs_expected(self) -> int:
        return sum(
            1
            for place in (self.root, self.root / ".trash")
            for experiment in _numbered(place)
            for child in experiment.iterdir()
            if child.name not in _RESERVED and child.is_dir()
        )

    def experiments(self) -> Iterator[Item]:
        for place in (self.root, self.root / ".trash"):
            for folder in reading.folders(place, EXPERIMENT, self.report):
                if folder.name not in _RESERVED:
                    yield Item(folder.name, lambda folder=folder: self._experiment(folder))  # type: ignore[misc]

    def runs(self, experiment: str) -> Iterator[Item]:
        for folder in reading.folders(self._folders[experiment], RUN, self.report):
            if folder.name not in _RESERVED:
                yield Item(folder.name, lambda folder=folder: self._run(folder, experiment))  # type: ignore[misc]

    def logged_models(self, experiment: str) -> Iterator[Item]:
        return filemodels.logged_models(self._folders[experiment], experiment, self)

    def traces(self, experiment: str) -> Iterator[Item]:
        return traces.of_folder(self._folders[experiment] / "traces", experiment, self)

    def registered_models(self) -> Iterator[Item]:
        return filemodels.registered_models(self.root / "models", self.report)

    def leave(self) -> None:
        """A file store holds nothing that is not imported."""

    def close(self) -> None:
        """Nothing is held open."""

    def files(self, folder: Path, address: str) -> Callable[[], Files]:
        """The files of a thing: in its own folder, or where its address says. Asked when they are needed."""
        own = folder / "artifacts"
        # Moved with the store or not: it is the folder that MLflow made for them.
        usual = address.endswith("/".join(own.parts[-3:]))

        def found() -> Files:
            if own.is_symlink():
                raise Unreachable("their folder is a link, and links are not followed")
            try:
                here = own.is_dir() and (usual or any(own.iterdir()))
            except OSError as failure:
                raise Unreachable(f"their folder cannot be read: {failure.strerror}") from None
            return Folder(own) if here else self.roots.files(address)

        return found

    def _experiment(self, folder: Path) -> Unit:
        found = reading.meta(folder)
        name = reading.identity(found.get("experiment_id"), folder.name)
        if not name.isdecimal():
            raise Refused("its id is no number")
        if name in self._folders:
            raise Refused("it is there twice, and was deleted once")
        stage = "deleted" if folder.parent.name == ".trash" else "active"
        row = {
            "name": reading.text(found, "name"),
            "lifecycle_stage": reading.text(found, "lifecycle_stage") or stage,
            "creation_time": reading.whole(found, "creation_time"),
            "last_update_time": reading.whole(found, "last_update_time"),
        }
        if not row["name"]:
            raise Refused("it has no name")
        tags = reading.values(folder / "tags", "experiment tag", name, self.report)
        self._folders[name] = folder
        self.roots.learn(reading.text(found, "artifact_location") or "")
        rows = [{"key": key, "value": value} for key, value in tags]
        return Unit(EXPERIMENT, name, {"experiments": [row], "experiment_tags": rows})

    def _run(self, folder: Path, experiment: str) -> Unit:
        found = reading.meta(folder)
        name = reading.identity(found.get("run_uuid") or found.get("run_id"), folder.name)
        rows = {
            table: [
                {"run_uuid": name, "key": key, "value": value}
                for key, value in reading.values(folder / table, kind, name, self.report)
            ]
            for table, kind in (("params", "param"), ("tags", "tag"))
        }
        tags = {row["key"]: row["value"] for row in rows["tags"]}
        own = {"name": tags.get("mlflow.runName"), "user_id": tags.get("mlflow.user")}
        address = reading.text(found, "artifact_uri") or ""
        metrics = list(reading.files(folder / "metrics", "metric", name, self.report))
        return Unit(
            RUN,
            name,
            {"runs": [_run_row(found, name, own)], **rows, **self._links(folder, name, experiment)},
            experiment=experiment,
            points=lambda: self._points(name, metrics),
            files=local.Late(self.files(folder, address)),
            address=address,
            weight=sum(path.stat().st_size for _, path in metrics) // _LINE,
        )

    def _points(self, run: str, metrics: list[tuple[str, Path]]) -> Iterator[Point]:
        for key, path in metrics:
            broken = 0
            try:
                for words in reading.lines(path):
                    try:
                        yield key, float(words[1]), int(words[0]), _step(words)
                    except (ValueError, IndexError):
                        broken += 1
            except Refused as refused:
                self.report.left("metric", f"{run} {key}", str(refused))
            if broken:
                told = f"{broken} of its lines are no time, value and step"
                self.report.left("metric", f"{run} {key}", "lines that do not parse", told)

    def _links(self, folder: Path, run: str, experiment: str) -> dict[str, list[Row]]:
        """Datasets, inputs and outputs of a run."""
        if not (folder / "inputs").is_dir() and not (folder / "outputs").is_dir():
            return {}
        if self._datasets[0] != experiment:
            self._datasets = experiment, filemodels.datasets(folder.parent, experiment, self.report)
        return filemodels.links(folder, run, self._datasets[1], self.report)


def _run_row(found: Row, name: str, own: Row) -> Row:
    status, source = found.get("status", 1), found.get("source_type")
    return {
        "run_uuid": name,
        "name": reading.text(found, "run_name") or reading.text(found, "name") or own["name"],
        "source_type": _SOURCE.get(source, source) if source is not None else "LOCAL",
        "source_name": reading.text(found, "source_name") or "",
        "entry_point_name": reading.text(found, "entry_point_name") or "",
        "user_id": reading.text(found, "user_id") or own["user_id"],
        "status": _STATUS.get(status, status),
        "start_time": reading.whole(found, "start_time"),
        "end_time": reading.whole(found, "end_time"),
        "deleted_time": reading.whole(found, "deleted_time"),
        "source_version": reading.text(found, "source_version") or "",
        "lifecycle_stage": reading.text(found, "lifecycle_stage") or "active",
        "experiment_id": None,
    }


def _step(words: list[str]) -> int:
    return int(words[2]) if len(words) > 2 else 0


def _numbered(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (child for child in place.iterdir() if child.name.isdecimal() and child.is_dir())
