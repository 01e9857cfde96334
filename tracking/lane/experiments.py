"""experiments/create: the experiment, its tags, and MANAGE on it for who made it, in one statement."""

from __future__ import annotations

import time
from collections import Counter
from functools import cache
from typing import NamedTuple
from urllib.parse import urlparse

import orjson
from mlflow.entities import ExperimentTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_ALREADY_EXISTS
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.store.artifact.host_policy import (
    host_addressed_rejection_message,
    rejected_host_addressed_scheme,
)
from mlflow.utils.mlflow_tags import MLFLOW_CUSTOM_VIEW_TAG_PREFIX
from mlflow.utils.uri import resolve_uri_if_local, validate_query_string
from mlflow.utils.validation import (
    MAX_CUSTOM_VIEWS_PER_EXPERIMENT,
    _validate_experiment_artifact_location,
    _validate_experiment_artifact_location_length,
    _validate_experiment_name,
    _validate_experiment_tag,
)

from studio.accounts.permissions import Level
from studio.lane import wires
from studio.lane.asking import Asker, Denied, Done, Seen
from studio.lane.messages import (
    Body,
    fields_of,
    is_list,
    is_present,
    is_text,
    message_of,
    refused,
)
from studio.lane.statements import asker as asking_subquery
from studio.lane.statements import statement
from tracking.lane.allowing import CREATES_EXPERIMENT
from tracking.lane.arrays import literal
from tracking.models import DELETED

_CHECKS = {
    "name": [is_present, is_text],
    "artifact_location": [is_text],
    "tags": [is_list],
}
# MLflow keeps what one user alone may do on a role of his own, which is made with his first grant.
_HOLDER = f"""
    SELECT a.*, u.id AS holder, '__user_' || u.id || '__' AS role, {CREATES_EXPERIMENT} AS level
    FROM asker a JOIN users u ON u.username = a.username
"""  # noqa: S608 - constants
_ROLE = """
    SELECT r.id, coalesce(bool_or(held.user_id = a.holder), false) AS held,
           coalesce(bool_or(held.user_id <> a.holder), false) AS is_anothers
    FROM holder a JOIN roles r ON r.workspace = 'default' AND r.name = a.role
    LEFT JOIN user_role_assignments held ON held.role_id = r.id GROUP BY r.id
"""
_OPEN = """
    SELECT holder, role, nextval(pg_get_serial_sequence('experiments', 'experiment_id'))::int AS id
    FROM holder WHERE level >= 3 AND NOT EXISTS (SELECT FROM known_role WHERE is_anothers)
"""
# As MLflow's server is told by studio.mlflow.serve.
_EXPERIMENT = """
    INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time,
                             workspace)
    SELECT id, %(name)s::text, coalesce(%(location)s::text, 'mlflow-artifacts:/' || id), 'active', %(now)s, %(now)s,
           'default'
    FROM open ON CONFLICT (workspace, name) DO NOTHING RETURNING experiment_id
"""
_TAGS = """
    INSERT INTO experiment_tags (key, value, experiment_id)
    SELECT g.key, g.value, made.experiment_id
    FROM made, unnest(%(keys)s::text[], %(values)s::text[]) g (key, value)
"""
# Somebody else may be making it: then it is waited for, and his is taken.
_NEW_ROLE = """
    INSERT INTO roles (name, workspace)
    SELECT open.role, 'default' FROM made, open WHERE NOT EXISTS (SELECT FROM known_role)
    ON CONFLICT (workspace, name) DO UPDATE SET name = excluded.name RETURNING id
"""
_ASSIGNED = """
    INSERT INTO user_role_assignments (user_id, role_id)
    SELECT open.holder, role.id FROM made, open, role WHERE NOT EXISTS (SELECT FROM known_role WHERE held)
    ON CONFLICT (user_id, role_id) DO NOTHING
"""
_GRANTED = """
    INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)
    SELECT role.id, 'experiment', made.experiment_id::text, 'MANAGE' FROM made, role
    ON CONFLICT (role_id, resource_type, resource_pattern) DO UPDATE SET permission = excluded.permission
"""
_TOLD = (
    "(SELECT experiment_id FROM made)",
    "(SELECT is_anothers FROM known_role)",
    "(SELECT lifecycle_stage FROM experiments WHERE workspace = 'default' AND name = %(name)s::text)",
)


class NewExperiment(NamedTuple):
    """`location` of its artifacts: None for MLflow's own choice, by its id. Values have been validated."""

    name: str
    location: str | None
    tags: dict[str, str]

    def write(self, asker: Asker) -> Done:
        """Store it. Raises Stranger, Denied, MlflowException and psycopg.Error: then nothing was stored."""
        given = {
            "name": self.name,
            "location": self.location,
            "now": int(time.time() * 1000),
            "keys": literal(list(self.tags)),
            "values": literal(list(self.tags.values())),
        }
        row = wires.run(_creating(asker.by_token), asker.given | given)
        seen = Seen.of(row)
        assert row is not None  # Seen.of
        made, role_is_anothers, stage = row[-len(_TOLD) :]
        if (seen.level or 0) < Level.EDIT:
            raise Denied
        if role_is_anothers:
            raise _ambiguous(seen.username)
        if made is None:
            raise _taken(self.name, stage)
        return Done(seen, orjson.dumps({"experiment_id": str(made)}))


def create(body: Body) -> NewExperiment:
    message = message_of(CreateExperiment, fields_of(body), _CHECKS)
    tags = [ExperimentTag(tag.key, tag.value) for tag in message.tags]
    _refuse_too_many_views(tags)
    location = _location(message.artifact_location) if message.artifact_location else None
    _validate_experiment_name(message.name)
    if location:
        _validate_experiment_artifact_location_length(location)
    for tag in tags:
        _validate_experiment_tag(tag.key, tag.value)
    _refuse_two_values(message.name, tags)
    return NewExperiment(message.name, location, {tag.key: tag.value for tag in tags})


def _location(given: str) -> str:
    """The address as MLflow keeps it: a path of this machine from its root on. Raises MlflowException for a bad one."""
    try:
        _refuse_unsafe(given)
        resolved: str = resolve_uri_if_local(given)
    except ValueError as failure:  # MLflow's server crashes
        raise refused(f"'artifact_location' is no address: {failure}") from None
    except MlflowException as failure:
        if failure.get_http_status_code() < 500:
            raise
        raise refused(failure.message) from None
    return resolved


def _refuse_unsafe(given: str) -> None:
    """As `_validate_storage_location_uri` of MLflow's handlers. Raises ValueError where it would."""
    parts = urlparse(given)
    if parts.fragment or parts.params:
        raise refused("'artifact_location' URL can't include fragments or params.")
    validate_query_string(parts.query)
    scheme = rejected_host_addressed_scheme(given)
    if scheme is not None:
        raise refused(host_addressed_rejection_message(scheme, field_name="artifact_location"))
    _validate_experiment_artifact_location(given)
    _validate_experiment_artifact_location_length(given)


def _refuse_too_many_views(tags: list[ExperimentTag]) -> None:
    views = sum(tag.key.startswith(MLFLOW_CUSTOM_VIEW_TAG_PREFIX) for tag in tags)
    if views > MAX_CUSTOM_VIEWS_PER_EXPERIMENT:
        raise refused(
            "Unable to create another custom view; the maximum number of custom views per experiment is "
            f"{MAX_CUSTOM_VIEWS_PER_EXPERIMENT}. Delete an existing custom view before creating a new one."
        )


def _refuse_two_values(name: str, tags: list[ExperimentTag]) -> None:
    """MLflow has the code of an experiment that exists for this too."""
    twice = [key for key, count in Counter(tag.key for tag in tags).items() if count > 1]
    if twice:
        told = f"Experiment(name={name}) cannot be made: the tag '{twice[0]}' is given twice."
        raise MlflowException(told, RESOURCE_ALREADY_EXISTS)


def _taken(name: str, stage: str | None) -> MlflowException:
    told = f"Experiment(name={name}) already exists."
    if stage == DELETED:
        told += " It is deleted: restore it, or choose another name."
    return MlflowException(told, RESOURCE_ALREADY_EXISTS)


def _ambiguous(username: str) -> MlflowException:
    told = (
        f"The role that MLflow keeps for the permissions of '{username}' alone is assigned to somebody else. "
        "An administrator has to rename or delete it."
    )
    return MlflowException(told, INVALID_PARAMETER_VALUE)


@cache
def _creating(by_token: bool) -> bytes:
    steps = {
        "asker": asking_subquery(by_token),
        "holder": _HOLDER,
        "known_role": _ROLE,
        "open": _OPEN,
        "made": _EXPERIMENT,
        "tagged": _TAGS,
        "new_role": _NEW_ROLE,
        "role": "SELECT id FROM known_role UNION ALL SELECT id FROM new_role",
        "assigned": _ASSIGNED,
        "granted": _GRANTED,
    }
    told = ["a.token", "a.username", "a.is_superuser", "a.level", "NULL", *_TOLD]
    return statement(steps, told, "holder a")
