"""What a run's values are in SQL, by the words that filters and orders have for them."""

from __future__ import annotations

from studio.lib.errors import Invalid

_ATTRIBUTES = {
    "artifact_uri": "artifact_uri",
    "duration": "(runs.end_time - runs.start_time)",
    "end_time": "end_time",
    "experiment_id": "experiment_id",
    "lifecycle_stage": "lifecycle_stage",
    "run_id": "run_uuid",
    "run_name": "name",
    "start_time": "start_time",
    "status": "status",
    "user_id": "user_id",
}
# Where MLflow keeps a run's values, by their kind.
TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}


def attribute(key: str) -> str:
    """What an attribute of a row `runs` is in SQL. Raises Invalid: it stands there as it is."""
    if key not in _ATTRIBUTES:
        raise Invalid(f"Invalid attribute key '{key}'")
    column = _ATTRIBUTES[key]
    return column if column.startswith("(") else f"runs.{column}"
