"""runs/log-inputs: the datasets and logged models that a run has read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from mlflow.entities import DatasetInput
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.protos.service_pb2 import LogInputs
from mlflow.utils.validation import _validate_dataset_inputs, _validate_run_id

from studio.lane.asking import Asker, Done
from studio.lane.messages import Body, fields_of, is_list, is_present, is_text, message_of
from tracking.lane.arrays import literal
from tracking.lane.writing import store

_CHECKS = {"run_id": [is_present, is_text], "datasets": [is_list], "models": [is_list]}
_COLUMNS = ("name", "digest", "source_type", "source", "schema", "profile")


@dataclass(slots=True)
class Inputs:
    """Of one run. Datasets have been validated, and each is there once. `models`: their ids."""

    run_id: str
    datasets: list[DatasetInput]
    models: list[str]

    def write(self, asker: Asker) -> Done:
        """Store those that are not the run's yet. Raises as `writing.store` does."""
        try:
            seen, _ = store(asker, self.run_id, {"inputs": self._given()})
        except psycopg.errors.UniqueViolation:
            told = "A dataset that is a run's input has one value of a tag: one of these has two."
            raise MlflowException(told, BAD_REQUEST) from None
        return Done(seen)

    def _given(self) -> dict[str, Any]:
        tags = [
            (place, tag.key, tag.value)
            for place, each in enumerate(self.datasets, 1)
            for tag in each.tags
        ]
        given = {
            f"dataset_{column}": [getattr(each.dataset, column) for each in self.datasets]
            for column in _COLUMNS
        }
        given |= {
            f"tag_{column}": [tag[place] for tag in tags]
            for place, column in enumerate(("place", "key", "value"))
        }
        # MLflow looks for no model that has no name, and stores it.
        given |= {"model_ids": [model for model in self.models if model], "input_ids": self.models}
        return {name: literal(values) for name, values in given.items()}


def log_inputs(body: Body) -> Inputs:
    message = message_of(LogInputs, fields_of(body), _CHECKS)
    datasets = [DatasetInput.from_proto(each) for each in message.datasets]
    models = [each.model_id for each in message.models]
    _validate_run_id(message.run_id)
    _validate_dataset_inputs(datasets)
    return Inputs(message.run_id, _first_of_each(datasets), list(dict.fromkeys(models)))


def _first_of_each(datasets: Iterable[DatasetInput]) -> list[DatasetInput]:
    """A dataset is known by its name and digest."""
    named: dict[tuple[str, str], DatasetInput] = {}
    for each in datasets:
        named.setdefault((each.dataset.name, each.dataset.digest), each)
    return list(named.values())
