"""The fast lane: MLflow's hot routes answered by Studio itself, in one SQL statement each.

A request that writes goes through three steps. It is *read* into what is to be stored: `points` and `runs` know bodies as
clients send them, `messages` all others, by MLflow's own protos and validators. One statement then finds who asks,
what he may, whether the run takes it, and *writes*. Last, `answers` says it in MLflow's words. What MLflow's server
answers to the same request is the contract: tests/differential compares the two, docs/compatibility.md lists what
differs.

Of this package only what is here may be imported at a process' start: the rest needs MLflow, which takes seconds
and 180 MB that no other process than web has a use for.
"""

from __future__ import annotations

# Below `/api/2.0/` and its twins. What writes; all are POST.
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
# What reads, and the methods by which it is asked.
READING = {
    "mlflow/experiments/get": ("GET",),
    "mlflow/experiments/get-by-name": ("GET",),
    "mlflow/experiments/search": ("GET", "POST"),
    "mlflow/runs/get": ("GET",),
    "mlflow/runs/search": ("POST",),
    "mlflow/metrics/get-history": ("GET",),
    "mlflow/metrics/get-history-bulk": ("GET",),
    "mlflow/metrics/get-history-bulk-interval": ("GET",),
}
# Those that MLflow has for its own pages alone: not below `/api/`.
OF_PAGES = ("mlflow/metrics/get-history-bulk",)
PREFIXES = ("/api/2.0/", "/ajax-api/2.0/", "/mlflow/ajax-api/2.0/")
