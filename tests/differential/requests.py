"""The routes, their messages as MLflow's protos describe them, and a request to each that succeeds."""

from __future__ import annotations

import json
from typing import Any

from mlflow.protos import databricks_pb2, service_pb2

from tests.differential.cases import Case

_TAG = {"key": "a", "value": "b"}
_DATASET = {
    "name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "s", "profile": "p",
}  # fmt: skip

GOOD: dict[str, dict[str, Any]] = {
    "mlflow/experiments/create": {
        "name": "@mark@ new", "artifact_location": "s3://bucket/folder", "tags": [_TAG],
    },
    "mlflow/runs/create": {
        "experiment_id": "@experiment@", "user_id": "u", "run_name": "named", "start_time": 12, "tags": [_TAG],
    },
    "mlflow/runs/update": {
        "run_id": "@run@", "status": "FINISHED", "end_time": 34, "run_name": "renamed",
    },
    "mlflow/runs/log-metric": {
        "run_id": "@run@", "key": "loss", "value": 0.5, "timestamp": 56, "step": 7,
    },
    "mlflow/runs/log-batch": {
        "run_id": "@run@",
        "metrics": [{"key": "loss", "value": 0.5, "timestamp": 56, "step": 7}],
        "params": [{"key": "depth", "value": "3"}],
        "tags": [_TAG],
    },
    "mlflow/runs/log-parameter": {"run_id": "@run@", "key": "depth", "value": "3"},
    "mlflow/runs/set-tag": {"run_id": "@run@", "key": "colour", "value": "red"},
    "mlflow/runs/delete-tag": {"run_id": "@run@", "key": "kept"},
    "mlflow/runs/log-inputs": {
        "run_id": "@run@",
        "datasets": [{"tags": [{"key": "context", "value": "training"}], "dataset": _DATASET}],
        "models": [{"model_id": "@model@"}],
    },
}  # fmt: skip


def good(route: str, **changed: Any) -> Case:
    """The good request to the route, with these fields put in or, where they are None, as null."""
    return Case("the good request", route, json.dumps(GOOD[route] | changed).encode())


def message_of(route: str) -> Any:
    """The descriptor of what is sent to this route, by the service's own options."""
    for method in service_pb2.DESCRIPTOR.services_by_name["MlflowService"].methods:
        for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
            if endpoint.path == f"/{route}" and endpoint.method == "POST":
                return method.input_type
    raise KeyError(route)
