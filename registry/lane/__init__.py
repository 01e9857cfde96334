"""The registry's routes of the fast lane: what reads models and their versions."""

from __future__ import annotations

from studio.lane import Lane

LANE = Lane(
    "registry.lane.routes",
    writing=(),
    reading={
        "mlflow/registered-models/get": ("GET",),
        "mlflow/registered-models/search": ("GET",),
        "mlflow/registered-models/alias": ("GET",),
        "mlflow/model-versions/get": ("GET",),
        "mlflow/model-versions/search": ("GET",),
    },
)
