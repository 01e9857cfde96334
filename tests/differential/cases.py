"""What is sent to both lanes: a case is data, and so is a story, which is cases in a row on the same twins.

In a body, and in the query of a route, `@run@`, `@experiment@`, `@mark@` and the other names of `twins.Twin` stand
for what differs between the lanes. They are replaced in the bytes, so that a body need not be JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

API = "/api/2.0"
TWINS = ("/ajax-api/2.0", "/mlflow/ajax-api/2.0")


class Expected(StrEnum):
    """What MLflow itself must answer, where a case is there to show it."""

    SUCCESS = "200"
    INVALID = "400"
    REFUSED = "403"
    NOT_FOUND = "404"


@dataclass(frozen=True)
class Case:
    """One request. `who` is a name of the cast; the route may have a query."""

    name: str
    route: str
    body: bytes
    who: str = "admin"
    expected: Expected | None = None
    method: str = "POST"
    content_type: str | None = "application/json"
    prefix: str = API

    def by(self, who: str, expected: Expected | None = None) -> Case:
        return replace(self, name=f"{self.name} by {who}", who=who, expected=expected)

    def below(self, prefix: str) -> Case:
        return replace(self, name=f"{self.name} below {prefix}", prefix=prefix)


@dataclass(frozen=True)
class Story:
    """Cases one after the other, each on what the one before has left."""

    name: str
    cases: tuple[Case, ...]


def alone(case: Case) -> Story:
    return Story(case.name, (case,))


def call(route: str, /, **fields: Any) -> Case:
    """The administrator's call of one of MLflow's routes with these fields. Its name is its body."""
    body = json.dumps(fields)
    return Case(body[:100], f"mlflow/{route}", body.encode())


def log_metric(key: str, value: Any, timestamp: Any = 1, step: Any = 0, **more: Any) -> Case:
    fields = {"run_id": "@run@", "key": key, "value": value, "timestamp": timestamp, "step": step}
    return call("runs/log-metric", **fields | more)


def log_batch(**fields: Any) -> Case:
    return call("runs/log-batch", **{"run_id": "@run@"} | fields)


def log_param(key: str, value: Any = None, **more: Any) -> Case:
    return call("runs/log-parameter", **{"run_id": "@run@", "key": key, "value": value} | more)


def set_tag(key: str, value: Any = None, **more: Any) -> Case:
    return call("runs/set-tag", **{"run_id": "@run@", "key": key, "value": value} | more)


def delete_tag(key: str, **more: Any) -> Case:
    return call("runs/delete-tag", **{"run_id": "@run@", "key": key} | more)


def update(**fields: Any) -> Case:
    return call("runs/update", **{"run_id": "@run@"} | fields)


def create_run(**fields: Any) -> Case:
    return call("runs/create", **{"experiment_id": "@experiment@"} | fields)


def create_experiment(**fields: Any) -> Case:
    return call("experiments/create", **{"name": "@mark@ new"} | fields)


def log_inputs(**fields: Any) -> Case:
    return call("runs/log-inputs", **{"run_id": "@run@"} | fields)
