"""Every field of the fast routes with every value that it might be given, on both lanes."""

from __future__ import annotations

import pytest

from tests.differential import bodies, fields
from tests.differential.arena import Arena
from tests.differential.cases import alone
from tracking.lane import LANE

# Of what training sends most every value; of the others every second, in turn with the route's next field, since
# they are read by the same few lines.
WHOLE = ("mlflow/runs/log-metric", "mlflow/runs/log-batch")
FIELDS = [
    (route, path, slice(None) if route in WHOLE else slice(place % 2, None, 2))
    for route in LANE.writing
    for place, path in enumerate(fields.fields_of(route))
]
# Every kind of body where its reader is another: one that crashes on none, and who is asked before it is read.
THOROUGHLY = [
    ("mlflow/runs/log-batch", "admin"),
    ("mlflow/runs/log-metric", "editor"),
    ("mlflow/runs/create", "editor"),
]
BODIES = [(route, "admin", False) for route in LANE.writing if (route, "admin") not in THOROUGHLY]
BODIES += [
    (route, "editor", False)
    for route in ("mlflow/experiments/create", "mlflow/runs/set-tag", "mlflow/runs/log-inputs")
]
BODIES += [(route, who, True) for route, who in THOROUGHLY]
# What MLflow's rules look at before anything else, for who is no administrator.
WHERE = [
    ("mlflow/runs/create", "experiment_id"),
    ("mlflow/runs/set-tag", "run_id"),
    ("mlflow/runs/set-tag", "run_uuid"),
    ("mlflow/runs/log-metric", "run_id"),
    ("mlflow/runs/log-metric", "model_id"),
    ("mlflow/runs/log-batch", "metrics.0.model_id"),
    ("mlflow/runs/log-inputs", "models.0.model_id"),
]


@pytest.mark.parametrize(("route", "path", "chosen"), FIELDS)
def test_any_value_of_a_field_is_taken_as_mlflow_takes_it(
    arena: Arena, route: str, path: str, chosen: slice
) -> None:
    arena.compare(map(alone, list(fields.cases_of(route, path))[chosen]))


@pytest.mark.parametrize(("route", "path"), WHERE)
def test_who_may_is_asked_as_mlflow_asks(arena: Arena, route: str, path: str) -> None:
    cases = (case.by("editor") for case in fields.cases_of(route, path))
    arena.compare(map(alone, cases))


@pytest.mark.parametrize(("route", "who", "thorough"), BODIES)
def test_any_body_is_taken_as_mlflow_takes_it(
    arena: Arena, route: str, who: str, thorough: bool
) -> None:
    cases = bodies.cases_of(route, thorough=thorough)
    arena.compare(alone(case.by(who)) for case in cases)
