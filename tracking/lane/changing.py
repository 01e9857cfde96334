"""Routes that change what a run says of itself: its status, its end, its name; and that take a tag away."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.protos.service_pb2 import DeleteTag, UpdateRun
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from studio.lane.asking import Asker, Done
from studio.lane.messages import Body, fields_of, is_present, is_text, is_whole, message_of
from tracking.lane.writing import columns, store

_UPDATE = {
    "run_id": [is_present, is_text],
    "end_time": [is_whole],
    "status": [is_text],
    "run_name": [is_text],
}
_DELETE_TAG = {"run_id": [is_present, is_text], "key": [is_present, is_text]}


class Updated(NamedTuple):
    """What is None stays as it is, and an empty name is none. `end_time` in milliseconds."""

    run_id: str
    status: str | None
    end_time: int | None
    name: str | None

    def write(self, asker: Asker) -> Done:
        given = {"status": self.status, "end_time": self.end_time, "name": self.name}
        tags = {MLFLOW_RUN_NAME: self.name} if self.name else {}
        parts = {"update": given, "tags": columns("tag", tags)}
        seen, told = store(asker, self.run_id, parts)
        return Done(seen, orjson.dumps({"run_info": info_of(told["run"])}))


class Untagged(NamedTuple):
    run_id: str
    key: str

    def write(self, asker: Asker) -> Done:
        seen, told = store(asker, self.run_id, {"untag": {"tag": self.key}})
        if not told["untagged"]:
            missing = f"No tag with name: {self.key} in run with id {self.run_id}"
            raise MlflowException(missing, RESOURCE_DOES_NOT_EXIST)
        return Done(seen)


def update(body: Body) -> Updated:
    message = message_of(UpdateRun, fields_of(body), _UPDATE)
    return Updated(
        message.run_id or message.run_uuid,
        RunStatus.to_string(message.status) if message.HasField("status") else None,
        message.end_time if message.HasField("end_time") else None,
        message.run_name or None,
    )


def delete_tag(body: Body) -> Untagged:
    message = message_of(DeleteTag, fields_of(body), _DELETE_TAG)
    return Untagged(message.run_id, message.key)


def info_of(run: dict[str, Any]) -> dict[str, Any]:
    """MLflow's RunInfo of a row of `runs`. What is not known is not told, nor is an end at 0."""
    told = {
        "run_uuid": run["run_uuid"],
        "run_id": run["run_uuid"],
        "run_name": run["name"],
        "experiment_id": str(run["experiment_id"]),
        "user_id": run["user_id"],
        "status": run["status"],
        "start_time": run["start_time"],
        "end_time": run["end_time"] or None,
        "artifact_uri": run["artifact_uri"] or None,
        "lifecycle_stage": run["lifecycle_stage"],
    }
    return {name: value for name, value in told.items() if value is not None}
