"""What a call costs PostgreSQL: one statement, and an index for each row that it looks for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from studio.accounts.models import AccessToken, User
from studio.lane.answers import answer
from studio.lane.asking import Asker
from studio.lane.messages import Body
from studio.lib.secrets import digest
from tests.support.grants import grant_mlflow
from tests.support.sent import Sent, noted
from tracking.lane import LANE
from tracking.models import Experiment, Run

RUNS, EACH = 1_000, 10  # EACH: metrics, params and tags of a run
LARGE = {"runs", "metrics", "latest_metrics", "params", "tags", "experiments", "datasets", "inputs"}
_POINT = {"value": 0.5, "timestamp": 1_790_000_000_000, "step": 7}
_DATASET = {"name": "iris", "digest": "d1", "source_type": "local", "source": "{}"}


def bodies(run: str, experiment: int) -> dict[str, dict[str, Any]]:
    """A body for each route, as clients send it."""
    batch = {
        "metrics": [_POINT | {"key": f"metric-{place}"} for place in range(100)],
        "params": [{"key": f"new-{place}", "value": "1"} for place in range(50)],
        "tags": [{"key": f"tag-{place}", "value": "2"} for place in range(50)],
    }
    return {
        "experiments/create": {"name": "new", "tags": [{"key": "a", "value": "b"}]},
        "runs/create": {"experiment_id": str(experiment), "start_time": 1, "run_name": "new"},
        "runs/update": {"run_id": run, "status": "FINISHED", "end_time": 9, "run_name": "other"},
        "runs/log-metric": {"run_id": run, "key": "loss"} | _POINT,
        "runs/log-batch": {"run_id": run} | batch,
        "runs/log-parameter": {"run_id": run, "key": "depth", "value": "3"},
        "runs/set-tag": {"run_id": run, "key": "stage", "value": "trial"},
        "runs/log-inputs": {"run_id": run, "datasets": [{"dataset": _DATASET}]},
        "runs/delete-tag": {"run_id": run, "key": "tag-1"},
    }


@pytest.fixture
def token(bob: User, make_experiment: Callable[..., Experiment]) -> str:
    """Of one who is no administrator: his grants are read in the same statement."""
    grant_mlflow(bob, "experiment", "*", "EDIT")
    row, text = AccessToken.issue(user=bob, label="test")
    AccessToken.objects.filter(pk=row.pk).update(last_used_at=now())
    return text


@pytest.fixture
def run(make_experiment: Callable[..., Experiment], make_run: Callable[..., Run]) -> Run:
    return make_run(make_experiment(), tags={"tag-1": "1"})


@pytest.fixture
def sent(run: Run, token: str) -> dict[str, list[Sent]]:
    """What PostgreSQL is sent for a call to each route, all of them answered 200."""
    assert run.experiment_id is not None
    found = {}
    for route, body in bodies(run.pk, run.experiment_id).items():
        with noted() as seen:
            raw = Body(json.dumps(body).encode(), "application/json")
            told = answer(f"mlflow/{route}", Asker(digest(token)), raw)
        assert told.status == 200, (route, told.body)
        found[route] = seen
    return found


def test_each_route_is_one_statement(sent: dict[str, list[Sent]]) -> None:
    assert {f"mlflow/{route}" for route in sent} == set(LANE.writing)
    assert {route: len(each) for route, each in sent.items()} == dict.fromkeys(sent, 1)


def test_no_statement_reads_a_large_table_from_end_to_end(
    run: Run, sent: dict[str, list[Sent]]
) -> None:
    fill(run)
    whole_table = Sent("SELECT 1 FROM params WHERE value = %(value)s", {"value": "0"})
    assert scanned([whole_table]) == {"params"}  # this would be seen
    read = {route: scanned(each) for route, each in sent.items()}
    assert {route: tables & LARGE for route, tables in read.items()} == dict.fromkeys(sent, set())


def fill(run: Run) -> None:
    """With so much that nobody would read a table whole for one row of it, and tell the planner so."""
    given: dict[str, Any] = {
        "run": run.pk,
        "runs": RUNS,
        "each": EACH,
        "mark": uuid.uuid4().hex[:8],
    }
    with connection.cursor() as cursor:
        for statement in _FILL:
            cursor.execute(statement, given)
        cursor.execute(f"ANALYZE {', '.join(LARGE)}")


_FILL = [
    """CREATE TEMPORARY TABLE others AS
       SELECT n, %(mark)s || lpad(n::text, 24, '0') AS id FROM generate_series(1, %(runs)s) n""",
    "CREATE TEMPORARY TABLE places AS SELECT place FROM generate_series(1, %(each)s) place",
    """INSERT INTO runs SELECT copy.* FROM others, runs one,
       jsonb_populate_record(one, jsonb_build_object('run_uuid', others.id)) copy WHERE one.run_uuid = %(run)s""",
    """INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
       SELECT 'metric-' || place, 0, 1, 1, false, id FROM others, places""",
    """INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
       SELECT 'metric-' || place, 0, 1, 1, false, id FROM others, places""",
    "INSERT INTO params (key, value, run_uuid) SELECT 'param-' || place, '0', id FROM others, places",
    "INSERT INTO tags (key, value, run_uuid) SELECT 'tag-' || place, '0', id FROM others, places",
    """INSERT INTO experiments (name, lifecycle_stage, workspace)
       SELECT 'other-' || n, 'active', 'default' FROM others""",
    """INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
       SELECT gen_random_uuid()::text, experiment_id, 'other-' || place, n::text, 'local', '{}'
       FROM runs, others, places WHERE run_uuid = %(run)s""",
    """INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
       SELECT gen_random_uuid()::text, 'DATASET', gen_random_uuid()::text, 'RUN', id FROM others""",
    "DROP TABLE others, places",
]


def scanned(sent: list[Sent]) -> set[str]:
    """The tables that the statements, prepared once for all values, read from end to end."""
    connection.ensure_connection()
    wire = connection.connection
    found: set[str] = set()
    wire.execute("SET plan_cache_mode = force_generic_plan")
    for one in sent:
        wire.execute(f"PREPARE explained AS {one.numbered}")
        command = f"EXPLAIN (FORMAT JSON) {one.executed('explained', wire)}"
        [(plans,)] = wire.execute(command).fetchall()
        wire.execute("DEALLOCATE explained")
        found |= whole(plans[0]["Plan"])
    wire.execute("RESET plan_cache_mode")
    return found


def whole(plan: dict[str, Any]) -> set[str]:
    here = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return here.union(*(whole(below) for below in plan.get("Plans", [])))
