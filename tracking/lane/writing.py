"""What is to be written to a run, and the one statement that does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from studio.accounts.permissions import Level
from studio.lane import wires
from studio.lane.asking import Asker, Denied, Done, Seen
from tracking import activity
from tracking.lane import modelled
from tracking.lane.arrays import literal
from tracking.lane.modelled import ModelPoint
from tracking.lane.points import Points
from tracking.lane.statements import SEEN, told_by, writing
from tracking.models import ACTIVE

Parts = dict[str, dict[str, Any]]


def store(asker: Asker, run_id: str, parts: Parts) -> tuple[Seen, dict[str, Any]]:
    """Write these parts, each with its parameters, to the run. Returns what the statement told.

    Raises Stranger, Denied, MlflowException as MLflow's store does, and psycopg.Error: then nothing was stored.
    """
    given = {name: value for part in parts.values() for name, value in part.items()}
    row = wires.run(writing(asker.by_token, *parts), asker.given | {"run": run_id} | given)
    seen = Seen.of(row)
    assert row is not None  # Seen.of
    told = dict(zip(told_by(*parts), row[len(SEEN) :], strict=True))
    if not seen.is_superuser and told.get("models_level", Level.EDIT) < Level.EDIT:
        raise Denied
    _must_be_open(seen, run_id)
    if told.get("clash") is not None:
        raise Clash(run_id, told["clash"])
    if not told.get("models_known", True):
        raise modelled.unknown()
    if told.get("model_clash"):
        raise modelled.taken()
    activity.note(run_id)
    return seen, told


def _must_be_open(seen: Seen, run_id: str) -> None:
    """Raises Denied for who may not change the run, and MlflowException where there is none, or it takes nothing more."""
    if not seen.is_superuser and (seen.level or 0) < Level.EDIT:
        raise Denied
    if seen.stage is None:
        raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
    if seen.stage != ACTIVE:
        told = f"The run {run_id} must be in the 'active' state. Current state is {seen.stage}."
        raise MlflowException(told, INVALID_PARAMETER_VALUE)


@dataclass(slots=True)
class Written:
    """Everything for one run that is stored together, or not at all. Values have been validated."""

    run_id: str
    points: Points | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    model_points: list[ModelPoint] = field(default_factory=list)

    def write(self, asker: Asker) -> Done:
        """Store it. Raises as `store` does."""
        seen, _ = store(asker, self.run_id, self._given())
        return Done(seen)

    def _given(self) -> Parts:
        """The statement's parts, each with its parameters."""
        parts: Parts = {}
        if self.params:
            parts["params"] = columns("param", self.params)
        if self.points and self.points.keys:
            parts["metrics"] = self.points.given
        if self.model_points:
            parts["models"] = modelled.columns(self.model_points)
        if name := self.tags.get(MLFLOW_RUN_NAME):
            parts["name"] = {"name": name}
        if self.tags:
            parts["tags"] = columns("tag", self.tags)
        return parts


class Clash(MlflowException):  # type: ignore[misc]  # MLflow has no types
    """Params that the run has with other values. `told`: of each its key, the old value and the new one."""

    def __init__(self, run_id: str, told: list[tuple[str, str, str]]) -> None:
        words = [{"key": key, "old_value": old, "new_value": new} for key, old, new in told]
        super().__init__(
            f"Changing param values is not allowed. Params were already logged='{words}' for run ID='{run_id}'.",
            INVALID_PARAMETER_VALUE,
        )
        self.told = told


def columns(kind: str, named: dict[str, str]) -> dict[str, Any]:
    return {f"{kind}_keys": literal(list(named)), f"{kind}_values": literal(list(named.values()))}
