"""A run's JSON, made by PostgreSQL of rows `r` of `runs`: as `mlflow.entities.Run` becomes a message, and that JSON."""

from __future__ import annotations

from studio.lane.json_sql import listed, lists, metric_number, quoted, record

METRIC = record(
    {"key": quoted("m.key"), "value": metric_number("m")},
    {"timestamp": "m.timestamp", "step": "m.step"},
)
_PARAM = record({"key": quoted("p.key"), "value": quoted("p.value")})
_TAG = record({"key": quoted("t.key")}, {"value": quoted("t.value")})
_INPUT_TAG = record({"key": quoted("t.name")}, {"value": quoted("t.value")})
_DATASET = record(
    {"name": quoted("d.name"), "digest": quoted("d.digest")},
    {
        "source_type": quoted("d.dataset_source_type"),
        "source": quoted("d.dataset_source"),
        "schema": quoted("nullif(d.dataset_schema, '')"),
        "profile": quoted("nullif(d.dataset_profile, '')"),
    },
)
_TAGGED_NAME = (
    "(SELECT t.value FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'mlflow.runName')"
)
# Clients before 1.30 keep a run's name in its tag alone.
_NAME = f"CASE WHEN r.name <> '' THEN r.name ELSE coalesce(nullif({_TAGGED_NAME}, ''), r.name) END"
_INFO = record(
    {
        "run_uuid": quoted("r.run_uuid"),
        "run_id": quoted("r.run_uuid"),
        "experiment_id": quoted("r.experiment_id"),
    },
    {
        "run_name": quoted(_NAME),
        "user_id": quoted("r.user_id"),
        "status": quoted("r.status"),
        "start_time": "r.start_time",
        "end_time": "nullif(r.end_time, 0)",
        "artifact_uri": quoted("nullif(r.artifact_uri, '')"),
        "lifecycle_stage": quoted("r.lifecycle_stage"),
    },
)
_DATA = lists(
    metrics=listed(METRIC, "latest_metrics m WHERE m.run_uuid = r.run_uuid"),
    params=listed(_PARAM, "params p WHERE p.run_uuid = r.run_uuid"),
    tags=listed(_TAG, "tags t WHERE t.run_uuid = r.run_uuid"),
)
_DATASET_INPUTS = listed(
    record(
        {"dataset": _DATASET},
        {"tags": listed(_INPUT_TAG, "input_tags t WHERE t.input_uuid = i.input_uuid")},
    ),
    "inputs i JOIN datasets d ON d.dataset_uuid = i.source_id"
    " WHERE i.destination_type = 'RUN' AND i.destination_id = r.run_uuid",
)
_MODEL_INPUTS = listed(
    record({"model_id": quoted("i.destination_id")}),
    "inputs i WHERE i.source_type = 'RUN_INPUT' AND i.source_id = r.run_uuid"
    " AND i.destination_type = 'MODEL_INPUT'",
)
_MODEL_OUTPUTS = listed(
    record({"model_id": quoted("i.destination_id"), "step": "i.step"}),
    "inputs i WHERE i.source_type = 'RUN_OUTPUT' AND i.source_id = r.run_uuid"
    " AND i.destination_type = 'MODEL_OUTPUT'",
)


def run_json(hides_models: str, *, model_inputs: bool) -> str:
    """An expression, of bytes. `hides_models`: SQL, whether who asks must not be told of models."""
    inputs = {"dataset_inputs": _DATASET_INPUTS}
    if model_inputs:
        inputs["model_inputs"] = _unless(hides_models, _MODEL_INPUTS)
    outputs = lists(model_outputs=_unless(hides_models, _MODEL_OUTPUTS))
    whole = record({"info": _INFO, "data": _DATA, "inputs": lists(**inputs), "outputs": outputs})
    return f"convert_to({whole}, 'UTF8')"


def _unless(hidden: str, found: str) -> str:
    """Few runs have models: what is hidden is asked where there is something to hide."""
    return f"CASE WHEN {found} IS NOT NULL THEN CASE WHEN NOT {hidden} THEN {found} END END"
