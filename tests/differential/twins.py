"""Twins: for each lane experiments, runs and models of its own, equal but for their ids."""

from __future__ import annotations

import itertools
import secrets
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg

from tests.differential.cases import Case

# Ten digits, so that nothing else in a request or a table looks like the id of an experiment.
FIRST_EXPERIMENT = 1_900_000_000
MARK = "tw[0-9a-f]{12}"
_session = secrets.token_hex(3)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Twin:
    """What stands for `@run@`, `@experiment@`… in a case. `mark` is in the names of all experiments of it.

    People have their grants on `experiment` alone. `run` holds a metric, a param, a tag and its name. What
    comes after `model` is there where it was asked for.
    """

    mark: str
    experiment: str
    run: str
    model: str
    foreign_experiment: str = ""
    foreign_run: str = ""
    foreign_model: str = ""
    deleted_experiment: str = ""
    stranded_run: str = ""  # active, in the deleted experiment
    deleted_run: str = ""

    def filled(self, case: Case) -> Case:
        """The case as it is sent for this twin: its own ids in the body and in the query of the route."""
        route, body = case.route, case.body
        for name, value in asdict(self).items():
            route = route.replace(f"@{name}@", value)
            body = body.replace(f"@{name}@".encode(), value.encode())
        return replace(case, route=route, body=body)

    @property
    def ids(self) -> dict[str, str]:
        """What is different in each lane, and the word that it is replaced by."""
        return {value: f"<{name}>" for name, value in asdict(self).items() if value}

    @property
    def experiments(self) -> list[int]:
        held = (self.experiment, self.foreign_experiment, self.deleted_experiment)
        return [int(experiment) for experiment in held if experiment]


def is_more_than_own(case: Case) -> bool:
    """Whether the case speaks of what is foreign, deleted or stranded."""
    return any(
        word in case.body for word in (b"@foreign_", b"@deleted_", b"@stranded_", b"deleted")
    )


def start_numbering(connection: psycopg.Connection[Any]) -> None:
    """Have experiments numbered from FIRST_EXPERIMENT on."""
    connection.execute(
        "SELECT setval('experiments_experiment_id_seq', greatest(%s, last_value))"
        " FROM experiments_experiment_id_seq",
        [FIRST_EXPERIMENT],
    )


_RUNS = "SELECT run_uuid FROM runs WHERE experiment_id >= %(first)s"
_FORGET = (
    *(
        f"DELETE FROM {table} WHERE run_uuid IN ({_RUNS})"  # noqa: S608
        for table in ("metrics", "latest_metrics", "params", "tags")
    ),
    f"DELETE FROM input_tags WHERE input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_id IN ({_RUNS}))",  # noqa: S608
    f"DELETE FROM inputs WHERE destination_id IN ({_RUNS}) OR source_id IN ({_RUNS})",  # noqa: S608
    f"DELETE FROM logged_model_metrics WHERE run_id IN ({_RUNS})",  # noqa: S608
    *(
        f"DELETE FROM {table} WHERE experiment_id >= %(first)s"  # noqa: S608
        for table in (
            "logged_model_params",
            "logged_model_tags",
            "runs",
            "experiment_tags",
            "experiments",
        )
    ),
    "DELETE FROM role_permissions WHERE resource_type = 'experiment' AND resource_pattern ~ '^[0-9]{10}$'",
)


def forget_twins(connection: psycopg.Connection[Any]) -> None:
    """Delete all of them: among thousands of experiments others would look for their own."""
    with connection.transaction():
        for statement in _FORGET:
            connection.execute(statement, {"first": FIRST_EXPERIMENT})


def make_twins(
    connection: psycopg.Connection[Any], whole: list[bool], grants: list[tuple[int, str]]
) -> list[Twin]:
    """One for each of `whole`, which says who has more than is his own; with these grants, by role."""
    marks = [f"tw{_session}{next(_numbers):06x}" for _ in whole]
    names = [f"{mark} own" for mark in marks]
    for mark, more in zip(marks, whole, strict=True):
        names += [f"{mark} foreign", f"{mark} deleted"] if more else []
    made = dict(connection.execute(_EXPERIMENTS, [names]).fetchall())
    twins = [_named(mark, made) for mark in marks]
    with connection.transaction(), connection.cursor() as cursor:
        roles, permissions = [role for role, _ in grants], [permission for _, permission in grants]
        cursor.execute(_GRANTS, [[t.experiment for t in twins], roles, permissions])
        cursor.execute(_RUNS, _runs(twins))
        cursor.execute(_VALUES, {"runs": [t.run for t in twins]})
        cursor.execute(_MODELS, _models(twins))
    return twins


def _named(mark: str, made: dict[str, int]) -> Twin:
    own = Twin(mark, str(made[f"{mark} own"]), uuid.uuid4().hex, f"m-{uuid.uuid4().hex}")
    if f"{mark} foreign" not in made:
        return own
    return replace(
        own,
        foreign_experiment=str(made[f"{mark} foreign"]),
        foreign_run=uuid.uuid4().hex,
        foreign_model=f"m-{uuid.uuid4().hex}",
        deleted_experiment=str(made[f"{mark} deleted"]),
        stranded_run=uuid.uuid4().hex,
        deleted_run=uuid.uuid4().hex,
    )


def _runs(twins: list[Twin]) -> dict[str, list[str]]:
    rows = [
        row
        for t in twins
        for row in (
            (t.run, t.experiment, "active"),
            (t.foreign_run, t.foreign_experiment, "active"),
            (t.stranded_run, t.deleted_experiment, "active"),
            (t.deleted_run, t.experiment, "deleted"),
        )
        if row[0]
    ]
    runs, experiments, stages = map(list, zip(*rows, strict=True))
    return {"runs": runs, "experiments": experiments, "stages": stages}


def _models(twins: list[Twin]) -> dict[str, list[str]]:
    rows = [
        row
        for t in twins
        for row in ((t.model, t.experiment), (t.foreign_model, t.foreign_experiment))
        if row[0]
    ]
    models, experiments = map(list, zip(*rows, strict=True))
    return {"models": models, "experiments": experiments}


_EXPERIMENTS = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
SELECT id, name, 'mlflow-artifacts:/' || id, CASE WHEN name LIKE '%% deleted' THEN 'deleted' ELSE 'active' END, 1, 1
FROM (SELECT nextval('experiments_experiment_id_seq')::int AS id, name FROM unnest(%s::text[]) AS name) AS new
RETURNING name, experiment_id
"""
_GRANTS = """
INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)
SELECT role, 'experiment', experiment, permission
FROM unnest(%s::text[]) AS experiment, unnest(%s::int[], %s::text[]) AS given (role, permission)
"""
_RUNS = """
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                  source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time)
SELECT run, 'base', 'UNKNOWN', '', '', 'somebody', 'RUNNING', 1, '', stage,
       'mlflow-artifacts:/' || experiment || '/' || run || '/artifacts', experiment::int,
       CASE stage WHEN 'deleted' THEN 2 END
FROM unnest(%(runs)s::text[], %(experiments)s::text[], %(stages)s::text[]) AS new (run, experiment, stage)
"""
_VALUES = """
WITH run AS (SELECT unnest(%(runs)s::text[]) AS id),
tag AS (INSERT INTO tags (run_uuid, key, value)
        SELECT id, key, value FROM run, (VALUES ('kept', 'v'), ('mlflow.runName', 'base')) AS t (key, value)),
param AS (INSERT INTO params (run_uuid, key, value) SELECT id, 'fixed', '1' FROM run),
metric AS (INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)
           SELECT id, 'base', 1, 10, 5, false FROM run)
INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
SELECT id, 'base', 1, 10, 5, false FROM run
"""
_MODELS = """
INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                           last_updated_timestamp_ms, status, lifecycle_stage)
SELECT model, experiment::int, 'm', 'mlflow-artifacts:/' || experiment || '/models/' || model, 1, 1, 2, 'active'
FROM unnest(%(models)s::text[], %(experiments)s::text[]) AS new (model, experiment)
"""
