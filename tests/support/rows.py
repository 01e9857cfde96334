"""Rows as MLflow writes them, for tests that need no MLflow client."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.models import ModelVersion, RegisteredModel
from studio.accounts.permissions import WORKSPACE
from tracking.models import Experiment, LatestMetric, Metric, Param, Run, Tag

_numbers = itertools.count(1)
_START = 1_700_000_000_000  # milliseconds


def make_experiment(name: str = "", **given: Any) -> Experiment:
    fields = {
        "name": name or f"experiment-{next(_numbers)}",
        "workspace": WORKSPACE,
        "lifecycle_stage": "active",
        "creation_time": _START,
        "last_update_time": _START,
    }
    experiment = Experiment.objects.create(**fields | given)
    Experiment.objects.filter(pk=experiment.pk).update(
        artifact_location=f"mlflow-artifacts:/{experiment.pk}"
    )
    experiment.refresh_from_db()
    return experiment


def make_run(
    experiment: Experiment,
    name: str = "",
    *,
    metrics: dict[str, float] | None = None,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    **given: Any,
) -> Run:
    """A finished run. Metrics have one point each, at step 0."""
    number = next(_numbers)
    run_id = uuid.uuid4().hex
    name = name or f"run-{number}"
    fields = {
        "run_uuid": run_id,
        "name": name,
        "user_id": "alice",
        "status": "FINISHED",
        "start_time": _START + number * 1000,
        "end_time": _START + number * 1000 + 500,
        "lifecycle_stage": "active",
        "artifact_uri": f"mlflow-artifacts:/{experiment.pk}/{run_id}/artifacts",
        "experiment": experiment,
    }
    run = Run.objects.create(**fields | given)
    for key, value in (metrics or {}).items():
        log_metric(run, key, [value])
    Param.objects.bulk_create([Param(run=run, key=k, value=v) for k, v in (params or {}).items()])
    own = {"mlflow.runName": name} | (tags or {})
    Tag.objects.bulk_create([Tag(run=run, key=k, value=v) for k, v in own.items()])
    return run


def log_metric(run: Run, key: str, values: list[float], first_step: int = 0) -> None:
    """Points at consecutive steps. NaN is stored as MLflow stores it."""
    points = [
        {
            "key": key,
            "value": 0.0 if value != value else value,
            "is_nan": value != value,
            "timestamp": _START + step,
            "step": step,
        }
        for step, value in enumerate(values, first_step)
    ]
    Metric.objects.bulk_create([Metric(run=run, **point) for point in points])
    LatestMetric.objects.filter(run=run, key=key).delete()
    LatestMetric.objects.create(run=run, **points[-1])


def make_version(
    name: str = "churn", version: int = 1, *, files: dict[str, str] | None = None, **given: Any
) -> ModelVersion:
    """A registered version. `files` are written below STUDIO_ARTIFACTS, where its source points."""
    RegisteredModel.objects.get_or_create(
        workspace=WORKSPACE,
        name=name,
        defaults={"creation_time": _START, "last_updated_time": _START},
    )
    place = f"models/{name}-{version}"
    fields = {
        "workspace": WORKSPACE,
        "name": name,
        "version": version,
        "creation_time": _START,
        "last_updated_time": _START,
        "current_stage": "None",
        "source": f"mlflow-artifacts:/{place}",
        "status": "READY",
    }
    for path, text in (files or {}).items():
        target = Path(settings.ARTIFACTS) / place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return ModelVersion.objects.create(**fields | given)
