"""The fast lane: MLflow's hot routes answered by Studio itself, in one SQL statement each.

A request goes through three steps. It is *read* into what is to be stored: `points` and `runs` know bodies as
clients send them, `messages` all others, by MLflow's own protos and validators. One statement then finds who asks,
what he may, whether the run takes it, and *writes*. Last, `answers` says it in MLflow's words. What MLflow's server
answers to the same request is the contract: tests/differential compares the two, docs/compatibility.md lists what
differs.

Of this package only what is here may be imported at a process' start: the rest needs MLflow, which takes seconds
and 180 MB that no other process than web has a use for.
"""

from __future__ import annotations

# Below `/api/2.0/` and its twins. All are POST.
ROUTES = (
    "mlflow/experiments/create",
    "mlflow/runs/create",
    "mlflow/runs/update",
    "mlflow/runs/log-metric",
    "mlflow/runs/log-batch",
    "mlflow/runs/log-parameter",
    "mlflow/runs/set-tag",
    "mlflow/runs/delete-tag",
    "mlflow/runs/log-inputs",
)
PREFIXES = ("/api/2.0/", "/ajax-api/2.0/", "/mlflow/ajax-api/2.0/")
