"""Stores that MLflow itself has filled, and what they hold in words that can be compared."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
    ViewType,
)

LONG = "ä" * 6000
_T = 1_700_000_000_000


@contextmanager
def used(uri: str) -> Iterator[MlflowClient]:
    """A client of a store, which MLflow's other functions use meanwhile."""
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield MlflowClient(uri, uri)
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def fill(client: MlflowClient, folder: Path) -> None:
    """What people have: experiments, some deleted, runs of each status, files, models, aliases, a trace.

    `folder` gets what is logged as artifacts. The client is the one that is `used`.
    """
    churn = client.create_experiment("churn", tags={"team": "growth", "mlflow.note.content": "…"})
    gone = client.create_experiment("gone")
    trained = _trained_run(client, churn, folder)
    _model(client, churn, trained, folder)
    for status in ("FAILED", "KILLED", "RUNNING"):
        run = client.create_run(gone, start_time=_T + 7, run_name=status.lower())
        client.log_metric(run.info.run_id, "loss", 1.5, timestamp=_T, step=0)
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status, end_time=_T + 9)
    thrown = client.create_run(churn, run_name="thrown away")
    client.log_param(thrown.info.run_id, "lr", "9")
    client.delete_run(thrown.info.run_id)
    client.create_run("0", run_name="in Default")
    client.delete_experiment(gone)
    _trace(churn)


def _trained_run(client: MlflowClient, experiment: str, folder: Path) -> str:
    run = client.create_run(experiment, start_time=_T, run_name="Größe 😀", tags={"who": "alice"})
    name = str(run.info.run_id)
    points = [
        Metric("loss", value, _T + place, step)
        for place, (value, step) in enumerate([(0.5, 3), (math.nan, 9), (math.inf, 9), (0.1, 1)])
    ]
    # The last by step, then time, then value: not the last that was logged.
    points += [Metric("val/auc", value, _T, 4) for value in (0.25, 0.75, 0.5)]
    points += [Metric("all.nan", math.nan, _T, -1), Metric("lowest", -math.inf, _T, 0)]
    points.append(points[0])  # twice the same
    client.log_batch(
        name,
        points,
        [
            Param("lr", "0.1"),
            Param("optimizer/name", "adam"),
            Param("empty", ""),
            Param("long", LONG),
        ],
        [RunTag("many", "lines\nand \t tabs"), RunTag("back-slash", "\\N")],
    )
    client.set_terminated(name, "FINISHED", end_time=_T + 60_000)
    read = Dataset("wine", "abc123", "http", '{"url": "http://x"}', '{"a": 1}', '{"n": 2}')
    client.log_inputs(name, [DatasetInput(read, [InputTag("mlflow.data.context", "train")])])
    files = folder / "files"
    (files / "deep" / "er").mkdir(parents=True, exist_ok=True)
    (files / "a file.txt").write_text("hello")
    (files / "deep" / "er" / "ünï.bin").write_bytes(bytes(range(256)) * 5000)
    (files / "empty").touch()
    client.log_artifacts(name, str(files))
    client.log_artifacts(name, str(files / "deep"), "model")
    return name


def _model(client: MlflowClient, experiment: str, run: str, folder: Path) -> None:
    made = client.create_logged_model(
        experiment, "net", run, {"stage": "best"}, {"depth": "3"}, "classifier"
    )
    client.log_model_artifacts(made.model_id, str(folder / "files"))
    client.log_batch(
        run,
        [Metric("acc", 0.5, _T, 0, made.model_id, "wine", "abc123", run_id=run)],
    )
    client.finalize_logged_model(made.model_id, "READY")
    client.log_inputs(run, models=[LoggedModelInput(made.model_id)])
    client.log_outputs(run, [LoggedModelOutput(made.model_id, 5)])
    client.create_registered_model("net", {"kind": "tree"}, "What it is\nfor.")
    source = client.get_run(run).info.artifact_uri
    client.create_model_version("net", f"{source}/model", run, {"n": "1"}, description="first")
    client.create_model_version("net", f"models:/{made.model_id}", run, model_id=made.model_id)
    client.create_model_version("net", f"runs:/{run}/model", run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stages are on their way out, and people have them
        client.transition_model_version_stage("net", "1", "Staging")
    client.set_registered_model_alias("net", "champion", 2)
    client.set_registered_model_alias("net", "old", 1)
    client.delete_model_version("net", "3")
    client.create_registered_model("nothing-yet")


def _trace(experiment: str) -> None:
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_span("answer", attributes={"model": "m"}) as span:
        span.set_inputs({"question": "why"})
        span.set_outputs("because")
    mlflow.flush_trace_async_logging()


def told(client: MlflowClient) -> dict[str, Any]:
    """All that a store holds, by names that an import keeps. Without ids of experiments and addresses of files."""
    experiments = client.search_experiments(ViewType.ALL)
    names = {found.experiment_id: found.name for found in experiments}
    ids = list(names)
    runs = client.search_runs(ids, run_view_type=ViewType.ALL, max_results=50_000)
    models = client.search_logged_models(ids)
    registered = client.search_registered_models()
    return {
        "experiments": {found.name: _experiment(found) for found in experiments},
        "runs": {
            run.info.run_id: _run(client, client.get_run(run.info.run_id), names) for run in runs
        },
        "logged models": {model.model_id: _logged_model(model, names) for model in models},
        "registered models": {model.name: _registered(client, model) for model in registered},
        "traces": {
            trace.trace_id: _trace_info(trace, names)
            for trace in client._tracing_client.search_traces(ids, include_spans=False)
            for trace in [trace.info]
        },
    }


def _experiment(found: Any) -> dict[str, Any]:
    kept = ("lifecycle_stage", "creation_time", "last_update_time")
    tags = {key: value for key, value in found.tags.items() if key != "studio.imported_from"}
    return {name: getattr(found, name) for name in kept} | {"tags": tags}


def _run(client: MlflowClient, run: Any, names: dict[str, str]) -> dict[str, Any]:
    info = dict(run.info)
    info["experiment"] = names[info.pop("experiment_id")]
    del info["artifact_uri"]
    history = {
        key: _points(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics
    }
    inputs, outputs = run.inputs.to_dictionary(), run.outputs.to_dictionary() if run.outputs else {}
    return {
        "info": info,
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {key: repr(_stored(value)) for key, value in run.data.metrics.items()},
        "history": history,
        "inputs": inputs,
        "outputs": outputs,
    }


def _points(history: list[Any]) -> list[tuple[Any, ...]]:
    return sorted({(point.step, point.timestamp, repr(_stored(point.value))) for point in history})


def _stored(value: float) -> float:
    """As MLflow's SQL store gives an infinity back."""
    largest = 1.7976931348623157e308
    return value if math.isnan(value) else max(-largest, min(largest, value))


def _logged_model(model: Any, names: dict[str, str]) -> dict[str, Any]:
    found = model.to_dictionary()
    found["experiment"] = names[found.pop("experiment_id")]
    del found["artifact_location"]
    metrics = [dict(one) for one in found.pop("metrics") or []]
    return {**found, "metrics": metrics}


def _registered(client: MlflowClient, model: Any) -> dict[str, Any]:
    versions = client.search_model_versions(f"name = '{model.name}'")
    kept = (
        "name",
        "creation_timestamp",
        "last_updated_timestamp",
        "description",
        "tags",
        "aliases",
    )
    one = (
        "creation_timestamp", "last_updated_timestamp", "description", "user_id",
        "current_stage", "run_id", "run_link", "status", "status_message", "tags",
    )  # fmt: skip
    found = {name: getattr(model, name) for name in kept}
    aliases = {alias: int(version) for alias, version in model.aliases.items()}
    return found | {
        "aliases": aliases,
        "versions": {
            str(version.version): {name: getattr(version, name) for name in one}
            for version in versions
        },
    }


def _trace_info(info: Any, names: dict[str, str]) -> dict[str, Any]:
    found = info.to_dict()
    del found["trace_location"]
    found["tags"].pop("mlflow.artifactLocation", None)
    return {**found, "experiment": names[info.experiment_id]}


def differences(here: Any, there: Any, place: str = "") -> list[str]:
    """Where two such descriptions differ, each as a line."""
    if isinstance(here, dict) and isinstance(there, dict):
        return [
            line
            for key in sorted(here.keys() | there.keys())
            for line in differences(here.get(key), there.get(key), f"{place}/{key}")
        ]
    return [] if here == there else [f"{place}: here {here!r:.300}, there {there!r:.300}"]
