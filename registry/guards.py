"""What Studio answers in the place of MLflow's server."""

from __future__ import annotations

from registry.lane import LANE
from studio.lane import guarded
from studio.mlflow.guards import Table


def register(table: Table) -> None:
    guarded.register(table, LANE)
