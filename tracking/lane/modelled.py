"""Metrics that are also a logged model's: the rows of MLflow's logged_model_metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from tracking.lane.arrays import literal
from tracking.lane.points import kept


class ModelPoint(NamedTuple):
    """`time` in milliseconds. NaN and infinities are as they are stored."""

    model_id: str
    key: str
    time: int
    step: int
    value: float
    dataset_name: str | None
    dataset_digest: str | None


def of_metrics(metrics: Iterable[Metric]) -> list[ModelPoint]:
    """Those that name a model, each once, in the order of the table's key.

    Raises MlflowException for two values in one place: the table has room for one.
    """
    rows = {
        ModelPoint(
            metric.model_id,
            metric.key,
            metric.timestamp,
            metric.step,
            kept(metric.value),
            metric.dataset_name,
            metric.dataset_digest,
        )  # fmt: skip
        for metric in metrics
        if metric.model_id
    }
    if len({row[:4] for row in rows}) < len(rows):
        raise taken()
    return sorted(rows, key=lambda row: row[:4])


def columns(rows: list[ModelPoint]) -> dict[str, Any]:
    """The rows as the statement takes them."""
    names = (
        "model_ids",
        "model_keys",
        "model_times",
        "model_steps",
        "model_values",
        "datasets",
        "digests",
    )
    return {
        name: literal(list(column))
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def taken() -> MlflowException:
    told = (
        "A logged model has one value of a metric for each run, step and timestamp, and this would be another. "
        "Log it with another step or timestamp."
    )
    return MlflowException(told, BAD_REQUEST)


def unknown() -> MlflowException:
    return MlflowException("There is no logged model with this model_id.", BAD_REQUEST)
