"""runs/create."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any, NamedTuple

import orjson
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.protos.service_pb2 import CreateRun
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, _get_run_name_from_tags
from mlflow.utils.name_utils import _generate_random_name
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import _parse_experiment_id

from studio.accounts.permissions import Level
from studio.lane import wires
from studio.lane.asking import Asker, Denied, Done, Seen
from studio.lane.messages import Body, fields_of, is_text, is_whole, message_of
from studio.lane.statements import asker as asking_subquery
from studio.lane.statements import statement
from tracking import activity
from tracking.lane.allowing import CREATES_RUN
from tracking.lane.arrays import literal
from tracking.lane.changing import info_of
from tracking.models import ACTIVE

_CHECKS = {"experiment_id": [is_text], "start_time": [is_whole], "run_name": [is_text]}
_EXPERIMENT = f"""
    SELECT e.experiment_id, e.lifecycle_stage, e.artifact_location, {CREATES_RUN} AS level
    FROM asker a LEFT JOIN experiments e ON e.experiment_id = %(number)s::text::integer
"""  # noqa: S608 - constants
# A location with a query or a fragment takes MLflow's own rule to be added to: then it comes with the request.
_OPEN = """
    SELECT experiment_id, coalesce(%(location)s::text, rtrim(artifact_location, '/') || %(below)s::text) AS location
    FROM experiment WHERE level >= 3 AND lifecycle_stage = 'active'
    AND (%(location)s::text IS NOT NULL OR artifact_location !~ '[?#]|//$')
"""
_RUN = """
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                      source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT %(run)s, %(name)s, 'UNKNOWN', '', '', %(user)s, 'RUNNING', %(start_time)s, '', 'active', location,
           experiment_id
    FROM open RETURNING *
"""
_TAGS = """
    INSERT INTO tags (key, value, run_uuid)
    SELECT g.key, g.value, %(run)s FROM open, unnest(%(keys)s::text[], %(values)s::text[]) g (key, value)
"""


class NewRun(NamedTuple):
    """`number`: what the experiment's id says, however it is written. `start_time` in milliseconds. The tags hold
    the name too.
    """

    experiment_id: str
    number: str
    user_id: str
    start_time: int
    name: str
    tags: list[tuple[str, str]]

    def write(self, asker: Asker) -> Done:
        """Store it. Raises Stranger, Denied, MlflowException and psycopg.Error: then nothing was stored."""
        run_id = uuid.uuid4().hex
        seen, location, made = self._ask(asker, run_id, None)
        if made is None:
            self._must_be_open(seen)
            made = self._ask(asker, run_id, append_to_uri_path(location, run_id, "artifacts"))[2]
        if made is None:  # deleted meanwhile
            raise Denied
        activity.note(run_id)
        tags = [{"key": key, "value": value} for key, value in dict(self.tags).items()]
        told = {
            "run": {
                "info": info_of(made) | {"experiment_id": self.experiment_id},
                "data": {"tags": tags},
                "inputs": {},
            }
        }
        return Done(seen, orjson.dumps(told))

    def _ask(
        self, asker: Asker, run_id: str, location: str | None
    ) -> tuple[Seen, str, dict[str, Any] | None]:
        """Try it. Returns who asks, the experiment's location, and the row if one was made."""
        given = {
            "experiment": self.experiment_id,
            "number": self.number,
            "run": run_id,
            "below": f"/{run_id}/artifacts",
            "location": location,
            "name": self.name,
            "user": self.user_id,
            "start_time": self.start_time,
            "keys": literal([key for key, _ in self.tags]),
            "values": literal([value for _, value in self.tags]),
        }
        row = wires.run(_creating(asker.by_token), asker.given | given)
        seen = Seen.of(row)
        assert row is not None  # Seen.of
        return seen, row[-2], row[-1]

    def _must_be_open(self, seen: Seen) -> None:
        if not seen.is_superuser and (seen.level or 0) < Level.EDIT:
            raise Denied
        if seen.stage is None:
            told = f"No Experiment with id={self.number} exists"
            raise MlflowException(told, RESOURCE_DOES_NOT_EXIST)
        if seen.stage != ACTIVE:
            told = f"The experiment {self.experiment_id} must be in the 'active' state. Current state is {seen.stage}."
            raise MlflowException(told, INVALID_PARAMETER_VALUE)


def create(body: Body) -> NewRun:
    message = message_of(CreateRun, fields_of(body, list_is_empty=True), _CHECKS)
    tags = [RunTag(tag.key, tag.value) for tag in message.tags]
    name, tagged = message.run_name, _get_run_name_from_tags(tags)
    if name and tagged and name != tagged:
        told = (
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tagged}')."
        )
        raise MlflowException(told, INVALID_PARAMETER_VALUE)
    number = str(_parse_experiment_id(message.experiment_id)) if message.experiment_id else ""
    name = name or tagged or _generate_random_name()
    pairs = [(tag.key, tag.value) for tag in tags]
    pairs += [] if tagged else [(MLFLOW_RUN_NAME, name)]
    return NewRun(message.experiment_id, number, message.user_id, message.start_time, name, pairs)


@cache
def _creating(by_token: bool) -> bytes:
    steps = {
        "asker": asking_subquery(by_token),
        "experiment": _EXPERIMENT,
        "open": _OPEN,
        "made": _RUN,
        "tagged": _TAGS,
    }
    told = [
        "a.token",
        "a.username",
        "a.is_superuser",
        "e.level",
        "e.lifecycle_stage",
        "e.artifact_location",
    ]
    told.append("(SELECT row_to_json(made) FROM made)")
    return statement(steps, told, "asker a LEFT JOIN experiment e ON true")
