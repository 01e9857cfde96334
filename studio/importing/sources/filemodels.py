"""Models, versions, datasets and what links them to runs, as MLflow's file store keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from studio.importing import local
from studio.importing.report import Report
from studio.importing.sources import reading
from studio.importing.tables import stored
from studio.importing.units import LOGGED_MODEL, REGISTERED_MODEL, Files, Item, Refused, Row, Unit

_STATUS = {"UNSPECIFIED": 0, "PENDING": 1, "READY": 2, "FAILED": 3}
_VERSION = "version-"


class _Store(Protocol):
    report: Report

    def files(self, folder: Path, address: str) -> Callable[[], Files]: ...


def made(*names: str) -> str:
    """An id for what a file store gives none. The same at every import."""
    return uuid5(NAMESPACE_URL, "\0".join(names)).hex


def logged_models(experiment_folder: Path, experiment: str, store: _Store) -> Iterator[Item]:
    for folder in reading.folders(experiment_folder / "models", LOGGED_MODEL, store.report):
        yield Item(folder.name, lambda folder=folder: _logged_model(folder, experiment, store))  # type: ignore[misc]


def _logged_model(folder: Path, experiment: str, store: _Store) -> Unit:
    found = reading.meta(folder)
    name = reading.identity(found.get("model_id"), folder.name)
    status = found.get("status", 1)
    address = reading.text(found, "artifact_location") or ""
    row = {
        "model_id": name,
        "experiment_id": None,
        "name": reading.text(found, "name") or "",
        "creation_timestamp_ms": reading.whole(found, "creation_timestamp") or 0,
        "last_updated_timestamp_ms": reading.whole(found, "last_updated_timestamp") or 0,
        "status": _STATUS.get(status, status),
        "lifecycle_stage": reading.text(found, "lifecycle_stage") or "active",
        "model_type": reading.text(found, "model_type"),
        "source_run_id": reading.text(found, "source_run_id"),
        "status_message": reading.text(found, "status_message"),
    }
    rows: dict[str, list[Row]] = {
        f"logged_model_{plural}": [
            {"model_id": name, "experiment_id": None, f"{one}_key": key, f"{one}_value": value}
            for key, value in reading.values(folder / plural, f"model {one}", name, store.report)
        ]
        for plural, one in (("params", "param"), ("tags", "tag"))
    }
    rows["logged_model_metrics"] = list(_model_metrics(folder / "metrics", name, store.report))
    return Unit(
        LOGGED_MODEL,
        name,
        {"logged_models": [row], **rows},
        experiment=experiment,
        files=local.Late(store.files(folder, address)),
        address=address,
    )


def _model_metrics(folder: Path, name: str, report: Report) -> Iterator[Row]:
    for key, path in reading.files(folder, "model metric", name, report):
        try:
            for words in reading.lines(path):
                try:
                    yield _model_metric(name, key, words)
                except (ValueError, IndexError):
                    report.left("model metric", f"{name} {key}", "a line that does not parse")
        except Refused as refused:
            report.left("model metric", f"{name} {key}", str(refused))


def _model_metric(name: str, key: str, words: list[str]) -> Row:
    return {
        "model_id": name,
        "metric_name": key,
        "metric_timestamp_ms": int(words[0]),
        "metric_step": int(words[2]),
        "metric_value": stored(float(words[1]))[0],
        "experiment_id": None,
        "run_id": words[3],
        "dataset_name": words[4] if len(words) > 5 else None,
        "dataset_digest": words[5] if len(words) > 5 else None,
    }


def datasets(experiment_folder: Path, experiment: str, report: Report) -> dict[str, Row]:
    """The datasets of an experiment, by their folders' names."""
    found = {}
    for folder in reading.folders(experiment_folder / "datasets", "dataset", report):
        try:
            meta = reading.meta(folder)
            name, digest = reading.text(meta, "name") or "", reading.text(meta, "digest") or ""
            found[folder.name] = {
                "dataset_uuid": made("dataset", experiment, name, digest),
                "experiment_id": None,
                "name": name,
                "digest": digest,
                "dataset_source_type": reading.text(meta, "source_type") or "",
                "dataset_source": reading.text(meta, "source") or "",
                "dataset_schema": reading.text(meta, "schema"),
                "dataset_profile": reading.text(meta, "profile"),
            }
        except Refused as refused:
            report.left("dataset", folder.name, str(refused))
    return found


def links(folder: Path, run: str, datasets: dict[str, Row], report: Report) -> dict[str, list[Row]]:
    """What a run read and wrote, as rows of datasets, inputs and input_tags."""
    rows: dict[str, list[Row]] = {"datasets": [], "inputs": [], "input_tags": []}
    for kind, add in (("inputs", _input), ("outputs", _output)):
        for place in reading.folders(folder / kind, kind, report):
            try:
                add(reading.meta(place), place.name, run, datasets, rows)
            except Refused as refused:
                report.left(kind.removesuffix("s"), f"{run} {place.name}", str(refused))
    return rows


def _input(
    meta: Row, name: str, run: str, datasets: dict[str, Row], rows: dict[str, list[Row]]
) -> None:
    source, kind = reading.text(meta, "source_id") or "", meta.get("source_type", "DATASET")
    if kind == "MODEL":
        link(rows, ("RUN_INPUT", run), ("MODEL_INPUT", source), 0)
        return
    if kind != "DATASET" or source not in datasets:
        raise Refused("what it names is not there")
    row = dict(datasets[source])
    rows["datasets"].append(row)
    uuid = link(rows, ("DATASET", row["dataset_uuid"]), ("RUN", run), 0)
    tags = meta.get("tags")
    for key, value in tags.items() if isinstance(tags, dict) else ():
        rows["input_tags"].append({"input_uuid": uuid, "name": key, "value": value})


def _output(
    meta: Row, name: str, run: str, datasets: dict[str, Row], rows: dict[str, list[Row]]
) -> None:
    link(rows, ("RUN_OUTPUT", run), ("MODEL_OUTPUT", name), reading.whole(meta, "step") or 0)


def link(
    rows: dict[str, list[Row]], source: tuple[str, str], to: tuple[str, str], step: int
) -> str:
    uuid = made("input", *source, *to)
    rows["inputs"].append(
        {
            "input_uuid": uuid,
            "source_type": source[0],
            "source_id": source[1],
            "destination_type": to[0],
            "destination_id": to[1],
            "step": step,
        }
    )
    return uuid


def registered_models(place: Path, report: Report) -> Iterator[Item]:
    for folder in reading.folders(place, REGISTERED_MODEL, report):
        yield Item(folder.name, lambda folder=folder: _registered_model(folder, report))  # type: ignore[misc]


def _registered_model(folder: Path, report: Report) -> Unit:
    found = reading.meta(folder)
    name = reading.text(found, "name") or ""
    if name != folder.name:
        raise Refused(f"its folder is not named like it: meta.yaml says {name[:100]!r}")
    row = {
        "name": name,
        "creation_time": reading.whole(found, "creation_timestamp"),
        "last_updated_time": reading.whole(found, "last_updated_timestamp"),
        "description": reading.text(found, "description"),
    }
    tags = reading.values(folder / "tags", "model tag", name, report)
    rows: dict[str, list[Row]] = {
        "registered_models": [row],
        "registered_model_tags": [
            {"name": name, "key": key, "value": value} for key, value in tags
        ],
        "model_versions": [],
        "model_version_tags": [],
        "registered_model_aliases": list(_aliases(folder / "aliases", name, report)),
    }
    for place in reading.folders(folder, "model version", report):
        if place.name.startswith(_VERSION):
            try:
                _version(place, name, rows, report)
            except Refused as refused:
                told = f"{name} {place.name.removeprefix(_VERSION)}"
                report.left("model version", told, str(refused))
    return Unit(REGISTERED_MODEL, name, rows)


def _version(folder: Path, name: str, rows: dict[str, list[Row]], report: Report) -> None:
    found = reading.meta(folder)
    number = reading.whole(found, "version")
    if number is None or folder.name != f"{_VERSION}{number}":
        raise Refused(f"its folder is not named like it: meta.yaml says {number}")
    texts = (
        "description", "user_id", "current_stage", "source", "storage_location", "run_id",
        "run_link", "status", "status_message",
    )  # fmt: skip
    row: Row = {text: reading.text(found, text) for text in texts}
    rows["model_versions"].append(
        row
        | {
            "name": name,
            "version": number,
            "creation_time": reading.whole(found, "creation_timestamp"),
            "last_updated_time": reading.whole(found, "last_updated_timestamp"),
        }
    )
    told = f"{name} v{number}"
    for key, value in reading.values(folder / "tags", "version tag", told, report):
        tag = {"name": name, "version": number, "key": key, "value": value}
        rows["model_version_tags"].append(tag)


def _aliases(folder: Path, name: str, report: Report) -> Iterator[Row]:
    for alias, version in reading.values(folder, "alias", name, report):
        try:
            yield {"name": name, "alias": alias, "version": int(version.strip())}
        except ValueError:
            report.left("alias", f"{name}@{alias}", "what it names is no version")
