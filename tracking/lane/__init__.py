"""Tracking's routes of the fast lane: each in one SQL statement, or two.

A request that writes goes through three steps. It is *read* into what is to be stored: `points` and `runs` know bodies as
clients send them, `studio.lane.messages` all others, by MLflow's own protos and validators. One statement then finds who
asks, what he may, whether the run takes it, and *writes*. Last, it is said in MLflow's words.
"""

from __future__ import annotations

from studio.lane import Lane

LANE = Lane(
    "tracking.lane.routes",
    writing=(
        "mlflow/experiments/create",
        "mlflow/runs/create",
        "mlflow/runs/update",
        "mlflow/runs/log-metric",
        "mlflow/runs/log-batch",
        "mlflow/runs/log-parameter",
        "mlflow/runs/set-tag",
        "mlflow/runs/delete-tag",
        "mlflow/runs/log-inputs",
    ),
    reading={
        "mlflow/experiments/get": ("GET",),
        "mlflow/experiments/get-by-name": ("GET",),
        "mlflow/experiments/search": ("GET", "POST"),
        "mlflow/runs/get": ("GET",),
        "mlflow/runs/search": ("POST",),
        "mlflow/metrics/get-history": ("GET",),
        "mlflow/metrics/get-history-bulk": ("GET",),
        "mlflow/metrics/get-history-bulk-interval": ("GET",),
    },
    of_pages=("mlflow/metrics/get-history-bulk",),
)
