"""Another MLflow server, by its REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from studio.importing.addresses import public
from studio.importing.report import Report
from studio.importing.sources import reading
from studio.importing.sources.calls import Answered, Calls, ServedFiles
from studio.importing.sources.filemodels import link, made
from studio.importing.tables import stored
from studio.importing.units import (
    EXPERIMENT,
    LOGGED_MODEL,
    NONSENSE,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    Item,
    Point,
    Refused,
    Row,
    Rows,
    Unit,
)
from studio.lib.errors import StudioError

_PAGE = 200
_POINTS = 25_000
_DIGITS = 20  # of an experiment's id, and more
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"
_MODEL_STATUS = {
    "LOGGED_MODEL_PENDING": 1,
    "LOGGED_MODEL_READY": 2,
    "LOGGED_MODEL_UPLOAD_FAILED": 3,
}


class Server:
    """Reads what its user may see. What a server does not tell anybody stays there: deleted models, times of deletion."""

    def __init__(self, address: str, calls: Calls, report: Report) -> None:
        self.label = f"the server {public(address)}"
        self._calls, self._report = calls, report
        try:
            calls.require()
        except StudioError:
            calls.close()
            raise

    def close(self) -> None:
        self._calls.close()

    def runs_expected(self) -> None:
        """A server does not tell how many there are."""

    def experiments(self) -> Iterator[Item]:
        asked = {"max_results": 1000, "view_type": "ALL"}
        pages = self._calls.pages(self._calls.post, "experiments/search", "experiments", **asked)
        for found in self._told(EXPERIMENT, "", pages):
            name = str(found.get("experiment_id"))
            yield _item(name, lambda found=found, name=name: _experiment(name, found))  # type: ignore[misc]

    def runs(self, experiment: str) -> Iterator[Item]:
        pages = self._calls.pages(
            self._calls.post,
            "runs/search",
            "runs",
            experiment_ids=[experiment],
            run_view_type="ALL",
            max_results=_PAGE,
            # What is logged meanwhile comes at the end: pages do not shift.
            order_by=["attributes.start_time ASC"],
        )
        for found in self._told(RUN, experiment, pages):
            name = _id(found, "run_id")
            yield _item(name, lambda name=name: self._run(name, experiment))  # type: ignore[misc]

    def logged_models(self, experiment: str) -> Iterator[Item]:
        pages = self._calls.pages(
            self._calls.post,
            "logged-models/search",
            "models",
            experiment_ids=[experiment],
            max_results=100,
        )
        for found in self._told(LOGGED_MODEL, experiment, pages, optional=True):
            name = _id(found, "model_id")
            yield _item(name, lambda found=found, name=name: self._model(name, found, experiment))  # type: ignore[misc]

    def traces(self, experiment: str) -> Iterator[Item]:
        """A server does not give all that a trace consists of: that there are some is told."""
        try:
            found = self._calls.get("traces", experiment_ids=experiment, max_results=1)
        except Answered:
            found = {}
        if found.get("traces"):
            self._report.left(
                TRACE, f"of experiment {experiment}", "traces of a server do not come"
            )
        return iter(())

    def registered_models(self) -> Iterator[Item]:
        for wanted in ("", _PROMPTS):
            pages = self._calls.pages(
                self._calls.get,
                "registered-models/search",
                "registered_models",
                max_results=100,
                filter=wanted,
            )
            for found in self._told(REGISTERED_MODEL, "", pages, optional=bool(wanted)):
                name = str(found.get("name"))
                yield _item(name, lambda f=found, w=wanted: self._registered(f, w))  # type: ignore[misc]

    def leave(self) -> None:
        """What else there may be has no place in the API that all servers have."""

    def _told(
        self, kind: str, experiment: str, pages: Iterator[Row], *, optional: bool = False
    ) -> Iterator[Row]:
        """What a listing holds. An older server may not have it; another may fail in the middle."""
        try:
            yield from pages
        except Answered as answered:
            if not optional or answered.status not in (400, 404, 501):
                name = f"of experiment {experiment}" if experiment else "all"
                self._report.left(kind, name, f"the server does not list them: {answered}")

    def _run(self, name: str, experiment: str) -> Unit:
        _check_id(name)
        found = _asked(lambda: self._calls.get("runs/get", run_id=name))["run"]
        info, data = found["info"], found.get("data", {})
        rows: Rows = {
            "runs": [_run_row(name, info)],
            **{
                table: [{"run_uuid": name} | _pair(one) for one in data.get(table, [])]
                for table in ("params", "tags")
            },
            **_links(name, experiment, found),
        }
        keys = [one["key"] for one in data.get("metrics", [])]
        return Unit(
            RUN,
            name,
            rows,
            experiment=experiment,
            points=lambda: self._points(name, keys),
            files=ServedFiles(
                lambda path: self._calls.pages(
                    self._calls.get, "artifacts/list", "files", run_id=name, path=path
                ),
                lambda path, size: self._calls.stream(
                    "get-artifact", size, run_id=name, run_uuid=name, path=path
                ),
            ),
            address=str(info.get("artifact_uri", "")),
            weight=1000 * len(keys),
        )

    def _points(self, run: str, keys: list[str]) -> Iterator[Point]:
        for key in keys:
            pages = self._calls.pages(
                self._calls.get,
                "metrics/get-history",
                "metrics",
                run_id=run,
                metric_key=key,
                max_results=_POINTS,
            )
            try:
                for one in pages:
                    yield (
                        key,
                        float(one.get("value", 0)),
                        int(one["timestamp"]),
                        int(one.get("step", 0)),
                    )
            except Answered as answered:
                raise Refused(
                    f"the server does not give the history of {key}: {answered}"
                ) from None
            except NONSENSE:
                raise Refused(f"the server gives a history of {key} that is none") from None

    def _model(self, name: str, found: Row, experiment: str) -> Unit:
        _check_id(name)
        info, data = found["info"], found.get("data", {})
        address = str(info.get("artifact_uri", ""))
        place = f"logged-models/{name}/artifacts"
        rows: Rows = {
            "logged_models": [_model_row(name, info)],
            "logged_model_params": [
                _model_pair(name, "param", one) for one in data.get("params", [])
            ],
            "logged_model_tags": [_model_pair(name, "tag", one) for one in info.get("tags", [])],
            "logged_model_metrics": [_model_metric(name, one) for one in data.get("metrics", [])],
        }
        files = ServedFiles(
            lambda path: self._calls.pages(
                self._calls.get, f"{place}/directories", "files", artifact_directory_path=path
            ),
            lambda path, size: self._calls.stream(
                f"ajax-api/2.0/mlflow/{place}/files", size, artifact_file_path=path
            ),
        )
        return Unit(LOGGED_MODEL, name, rows, experiment=experiment, files=files, address=address)

    def _registered(self, found: Row, prompts: str) -> Unit:
        name = str(found.get("name"))
        quote = "'" if "'" not in name else '"'
        wanted = f"name = {quote}{name}{quote}" + (f" AND {prompts}" if prompts else "")
        rows: Rows = {
            "registered_models": [_times(found) | {"name": name}],
            "registered_model_tags": [{"name": name} | _pair(one) for one in found.get("tags", [])],
            "registered_model_aliases": [
                {"name": name, "alias": one["alias"], "version": int(one["version"])}
                for one in found.get("aliases", [])
            ],
            "model_versions": [],
            "model_version_tags": [],
        }
        pages = self._calls.pages(
            self._calls.get,
            "model-versions/search",
            "model_versions",
            filter=wanted,
            max_results=_PAGE,
        )
        for version in _asked(lambda: list(pages)):
            number = int(version["version"])
            rows["model_versions"].append(self._version(name, number, version))
            for one in version.get("tags", []):
                rows["model_version_tags"].append({"name": name, "version": number} | _pair(one))
        return Unit(REGISTERED_MODEL, name, rows)

    def _version(self, name: str, number: int, found: Row) -> Row:
        try:
            place = self._calls.get("model-versions/get-download-uri", name=name, version=number)
        except Answered:
            place = {}
        texts = ("user_id", "current_stage", "source", "run_link", "status", "status_message")
        return (
            {text: found.get(text) for text in texts}
            | _times(found)
            | {
                "name": name,
                "version": number,
                "run_id": found.get("run_id") or None,
                "storage_location": place.get("artifact_uri") or found.get("source"),
            }
        )


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Answered as answered:
        raise Refused(f"the server does not give it: {answered}") from None


def _item(name: str, read: Callable[[], Unit]) -> Item:
    """An item whose reading fails as Refused, whatever the server answers."""

    def careful() -> Unit:
        try:
            return read()
        except NONSENSE as failure:
            told = f"the server's answer is none of MLflow's: {type(failure).__name__} {failure}"
            raise Refused(told[:300]) from None

    return Item(name, careful)


def _id(found: Row, name: str) -> str:
    info = found.get("info")
    return str(info.get(name)) if isinstance(info, dict) else ""


def _check_id(name: str) -> None:
    if not reading.ID.fullmatch(name):
        raise Refused("its id is none that MLflow gives")


def _pair(found: Row) -> Row:
    return {"key": str(found.get("key", "")), "value": found.get("value", "")}


def _times(found: Row) -> Row:
    return {
        "creation_time": found.get("creation_timestamp"),
        "last_updated_time": found.get("last_updated_timestamp"),
        "description": found.get("description"),
    }


def _experiment(name: str, found: Row) -> Unit:
    if not name.isdecimal() or len(name) > _DIGITS or not isinstance(found.get("name"), str):
        raise Refused("its id is no number, or its name no text")
    row = {
        "name": found["name"],
        "lifecycle_stage": found.get("lifecycle_stage", "active"),
        "creation_time": found.get("creation_time"),
        "last_update_time": found.get("last_update_time"),
    }
    tags = [_pair(one) for one in found.get("tags", [])]
    return Unit(EXPERIMENT, name, {"experiments": [row], "experiment_tags": tags})


def _run_row(name: str, info: Row) -> Row:
    stage = info.get("lifecycle_stage", "active")
    return {
        "run_uuid": name,
        "name": info.get("run_name"),
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": info.get("user_id"),
        "status": info.get("status"),
        "start_time": info.get("start_time"),
        "end_time": info.get("end_time"),
        # A server does not tell; without a time `mlflow gc` would never take it.
        "deleted_time": round(time.time() * 1000) if stage == "deleted" else None,
        "source_version": "",
        "lifecycle_stage": stage,
        "experiment_id": None,
    }


def _links(run: str, experiment: str, found: Row) -> Rows:
    rows: Rows = {"datasets": [], "inputs": [], "input_tags": []}
    inputs, outputs = found.get("inputs", {}), found.get("outputs", {})
    for one in inputs.get("dataset_inputs", []):
        dataset = one.get("dataset", {})
        name, digest = str(dataset.get("name", "")), str(dataset.get("digest", ""))
        row = {
            "dataset_uuid": made("dataset", experiment, name, digest),
            "experiment_id": None,
            "name": name,
            "digest": digest,
            "dataset_source_type": dataset.get("source_type", ""),
            "dataset_source": dataset.get("source", ""),
            "dataset_schema": dataset.get("schema"),
            "dataset_profile": dataset.get("profile"),
        }
        rows["datasets"].append(row)
        uuid = link(rows, ("DATASET", str(row["dataset_uuid"])), ("RUN", run), 0)
        for tag in one.get("tags", []):
            rows["input_tags"].append(
                {"input_uuid": uuid, "name": tag.get("key"), "value": tag.get("value")}
            )
    for one in inputs.get("model_inputs", []):
        link(rows, ("RUN_INPUT", run), ("MODEL_INPUT", one["model_id"]), 0)
    for one in outputs.get("model_outputs", []):
        link(rows, ("RUN_OUTPUT", run), ("MODEL_OUTPUT", one["model_id"]), int(one.get("step", 0)))
    return rows


def _model_row(name: str, info: Row) -> Row:
    return {
        "model_id": name,
        "experiment_id": None,
        "name": info.get("name", ""),
        "creation_timestamp_ms": info.get("creation_timestamp_ms", 0),
        "last_updated_timestamp_ms": info.get("last_updated_timestamp_ms", 0),
        "status": _MODEL_STATUS.get(str(info.get("status")), 0),
        "lifecycle_stage": "active",
        "model_type": info.get("model_type") or None,
        "source_run_id": info.get("source_run_id") or None,
        "status_message": info.get("status_message") or None,
    }


def _model_pair(name: str, kind: str, found: Row) -> Row:
    pair = _pair(found)
    return {
        "model_id": name,
        "experiment_id": None,
        f"{kind}_key": pair["key"],
        f"{kind}_value": pair["value"],
    }


def _model_metric(name: str, found: Row) -> Row:
    return {
        "model_id": name,
        "metric_name": found.get("key"),
        "metric_timestamp_ms": found.get("timestamp"),
        "metric_step": found.get("step", 0),
        "metric_value": stored(float(found.get("value", 0)))[0],
        "experiment_id": None,
        "run_id": found.get("run_id"),
        "dataset_name": found.get("dataset_name") or None,
        "dataset_digest": found.get("dataset_digest") or None,
    }
