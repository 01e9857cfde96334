"""Who may: each route by each of the cast, on what is theirs and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.differential.cases import (
    Case,
    Expected,
    create_experiment,
    log_batch,
    log_inputs,
    log_metric,
)
from tests.differential.cast import EVERYBODY
from tests.differential.requests import GOOD, good

OK, INVALID, REFUSED, MISSING = Expected
UNKNOWN = "f" * 32


def cases_of(route: str) -> Iterator[Case]:
    """The good request by everybody; and by some on what is foreign, deleted, unknown or not named."""
    for who in EVERYBODY:
        yield good(route).by(who)
    for who in ("admin", "editor", "stranger"):
        for case in _elsewhere(route):
            yield case.by(who)


def _elsewhere(route: str) -> Iterator[Case]:
    if "run_id" in GOOD[route]:
        for place in ("@foreign_run@", "@deleted_run@", "@stranded_run@", UNKNOWN, ""):
            yield replace(good(route, run_id=place), name=f"on {place or 'no run'}")
        yield replace(good(route, run_id=None, run_uuid="@run@"), name="by null and the old name")
        yield replace(
            good(route, run_uuid="@foreign_run@"), name="and a foreign one by the old name"
        )
        yield replace(
            good(route, run_id="@foreign_run@", run_uuid="@run@"),
            name="on a foreign run, not by the old name",
        )
    if "experiment_id" in GOOD[route]:
        for place in ("@foreign_experiment@", "@deleted_experiment@", "1899999999", ""):
            yield replace(good(route, experiment_id=place), name=f"in {place or 'no experiment'}")


# For metrics and inputs of models both the run and each model are asked about.
OF_MODELS = [
    replace(case, name=f"{kind} of {model}")
    for model in ("@model@", "@foreign_model@", "m-unknown")
    for kind, case in (
        ("a metric", log_metric("a", 1, model_id=model)),
        ("a batch", log_batch(metrics=[{"key": "a", "value": 1, "timestamp": 1, "model_id": model}])),
        ("inputs", log_inputs(models=[{"model_id": model}])),
    )
]  # fmt: skip

# At least one success, validation error, not-found and refusal of each fast route: MLflow itself must answer so.
PROVEN: list[Case] = [
    *(replace(good(route), expected=OK) for route in GOOD),
    *(replace(good(route, run_id=UNKNOWN), name="an unknown run", expected=MISSING) for route, body in GOOD.items() if "run_id" in body),
    *(good(route).by("stranger", REFUSED) for route, body in GOOD.items() if "name" not in body),
    *(replace(good(route, key="a//b"), name="a bad key", expected=INVALID) for route, body in GOOD.items() if "key" in body and "delete" not in route),
    replace(good("mlflow/runs/delete-tag", key=""), name="no key", expected=INVALID),
    replace(good("mlflow/runs/delete-tag", key="unknown"), name="an unknown tag", expected=MISSING),
    replace(good("mlflow/runs/log-batch", tags=[{"key": ".."}]), name="a bad key", expected=INVALID),
    replace(good("mlflow/runs/log-inputs", datasets="x"), name="no list", expected=INVALID),
    replace(good("mlflow/runs/update", status=[]), name="no status", expected=INVALID),
    replace(good("mlflow/runs/create", start_time="x"), name="no time", expected=INVALID),
    replace(good("mlflow/runs/create", experiment_id="1899999999"), name="unknown", expected=MISSING),
    replace(good("mlflow/experiments/create", artifact_location="runs:/x"), name="a run's place", expected=INVALID),
    create_experiment().by("denied experiments", REFUSED),
]  # fmt: skip
