"""What a data scientist runs: an ordinary MLflow client that knows nothing of Studio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mlflow
import numpy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from pytest import MonkeyPatch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True)
class Trained:
    """An autologged iris model: its run, its logged model and some rows with what it says of them."""

    experiment_id: str
    run_id: str
    model_id: str
    rows: list[list[float]]
    columns: list[str]
    labels: list[int]


@contextmanager
def client_of(url: str, token: str) -> Iterator[MlflowClient]:
    """MLflow's client, told where Studio is in the way its documentation says: by environment."""
    with MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", url)
        patch.setenv("MLFLOW_TRACKING_TOKEN", token)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        mlflow.set_tracking_uri(url)
        yield MlflowClient()
        mlflow.set_tracking_uri(None)


def train_iris(experiment: str, run_name: str = "trained") -> Trained:
    """Train with autologging on, as the first page of MLflow's documentation shows."""
    columns, labels = load_iris(return_X_y=True, as_frame=True)
    experiment_id = mlflow.set_experiment(experiment).experiment_id
    mlflow.sklearn.autolog(log_input_examples=True, silent=True)
    try:
        with mlflow.start_run(run_name=run_name) as run:
            model = LogisticRegression(max_iter=300).fit(columns, labels)
            for step in range(50):
                mlflow.log_metric("val/loss", math.exp(-step / 10), step=step)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    (logged,) = mlflow.search_logged_models(
        [experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'", output_format="list"
    )
    some = columns.iloc[[0, 60, 120]]
    return Trained(
        experiment_id,
        run.info.run_id,
        logged.model_id,
        numpy.asarray(some, dtype=float).tolist(),
        list(columns.columns),
        [int(label) for label in model.predict(some)],
    )


def sweep(client: MlflowClient, experiment_id: str) -> tuple[str, list[str]]:
    """A parent run with three children, each logged in one batch. Returns their ids."""
    parent = client.create_run(experiment_id, run_name="sweep").info.run_id
    children = []
    for seed in range(3):
        tags = {"mlflow.parentRunId": parent, "seed": str(seed)}
        child = client.create_run(experiment_id, run_name=f"seed-{seed}", tags=tags).info.run_id
        losses = [
            Metric("loss", 1 / (step + 1), 1_700_000_000_000 + step, step) for step in range(100)
        ]
        odd = [
            Metric("not a number", math.nan, 1_700_000_000_000, 0),
            Metric("up", math.inf, 1_700_000_000_000, 0),
            Metric("down", -math.inf, 1_700_000_000_000, 0),
        ]
        params = [Param("depth", str(4 + seed)), Param("kind", "trée/ø")]
        client.log_batch(child, losses + odd, params, [RunTag("team", "growth")])
        client.set_terminated(child)
        children.append(child)
    client.set_terminated(parent)
    return parent, children
