"""Who may, where a request cannot be stored: MLflow asks that before it looks what is wrong."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from studio.accounts.permissions import Level
from studio.lane import wires
from studio.lane.asking import Asker, Denied, Seen
from studio.lane.messages import (
    Body,
    decoded,
    decoded_twice,
    missing,
    must_be_json,
    refuse_two_spellings,
)
from studio.lane.statements import asker as asking_subquery
from studio.lane.statements import statement
from studio.mlflow.guards import JSON
from tracking.lane.statements import writing

# To make a run takes EDIT on its experiment, and no DENY on runs. It need not exist, for whom `*` is granted.
CREATES_RUN = """CASE WHEN a.is_superuser THEN 4
    WHEN studio_mlflow_level(a.username, 'experiment', %(experiment)s::text, 'run') = 0 THEN 0
    ELSE studio_mlflow_level(a.username, 'experiment', %(experiment)s::text, '') END"""
# Everybody may make an experiment, but for a DENY on all of them, which counts for nobody who manages everything.
CREATES_EXPERIMENT = """CASE WHEN a.is_superuser OR (
        SELECT bool_or(granted.resource_type = 'workspace') IS NOT FALSE
        FROM users JOIN user_role_assignments held ON held.user_id = users.id
        JOIN roles ON roles.id = held.role_id AND roles.workspace = 'default'
        JOIN role_permissions granted ON granted.role_id = roles.id
        WHERE users.username = a.username AND granted.resource_pattern = '*'
        AND (granted.resource_type, granted.permission) IN (('workspace', 'MANAGE'), ('experiment', 'DENY'))
    ) THEN 4 ELSE 0 END"""


def may_change_run(asker: Asker, body: Body, parsed: type[Message] | None = None) -> None:
    """`parsed`: the message that MLflow reads on this route to find out who may."""
    given = _named(body)
    found = given.get("run_id", given.get("run_uuid"))
    seen = Seen.of(wires.run(writing(asker.by_token), asker.given | {"run": _text(found)}))
    if seen.is_superuser:
        return
    if parsed:
        must_be_json(body)
        refuse_two_spellings(decoded_twice(body.raw), parsed.DESCRIPTOR)
    if not given.keys() & {"run_id", "run_uuid"}:
        raise missing("run_uuid")
    if isinstance(found, int | float | dict) or (isinstance(found, str) and "\0" in found):
        raise MlflowException("A run's id is a text without NUL.", BAD_REQUEST)
    _must_edit(seen)


def may_create_run(asker: Asker, body: Body) -> None:
    given = _named(body)
    told = ["a.token", "a.username", "a.is_superuser", CREATES_RUN, "NULL"]
    asks = statement({"asker": asking_subquery(asker.by_token)}, told, "asker a")
    seen = Seen.of(wires.run(asks, asker.given | {"experiment": _text(given.get("experiment_id"))}))
    if seen.is_superuser:
        return
    if "experiment_id" not in given:
        raise missing("experiment_id")
    _must_edit(seen)


def may_create_experiment(asker: Asker, body: Body) -> None:
    """What the body says does not matter for it."""
    told = ["a.token", "a.username", "a.is_superuser", CREATES_EXPERIMENT, "NULL"]
    asks = statement({"asker": asking_subquery(asker.by_token)}, told, "asker a")
    _must_edit(Seen.of(wires.run(asks, asker.given)))


def _must_edit(seen: Seen) -> None:
    if (seen.level or 0) < Level.EDIT:
        raise Denied


def _named(body: Body) -> dict[str, Any]:
    """The body's fields as MLflow's rules look for them, in no other form than an object."""
    given = decoded(body.raw) if JSON.match(body.content_type or "") else None
    return given if isinstance(given, dict) else {}


def _text(value: Any) -> str:
    """An id to look for. Nothing has an id that is no text."""
    return value if isinstance(value, str) and "\0" not in value and value.isprintable() else ""
