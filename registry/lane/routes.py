"""How each of the registry's routes is read."""

from __future__ import annotations

from registry.lane import models, versions
from studio.lane.routes import Route, Seek

READERS: dict[str, Route] = {}
# By their names in LANE.reading.
SEEKERS: dict[str, Seek] = {
    "mlflow/registered-models/get": models.get,
    "mlflow/registered-models/search": models.search,
    "mlflow/registered-models/alias": versions.get_by_alias,
    "mlflow/model-versions/get": versions.get,
    "mlflow/model-versions/search": versions.search,
}
