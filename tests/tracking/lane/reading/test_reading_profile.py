"""What a question costs PostgreSQL: few statements, however much is found, and an index where one can serve."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from studio.accounts.models import User
from studio.lane.answers import Answer, look
from studio.lane.asked import Asked
from studio.lane.asking import Asker
from studio.lane.messages import Body
from tests.support.grants import grant_mlflow
from tests.support.sent import read
from tracking.lane import LANE
from tracking.models import Experiment, Run

Wire = psycopg.Connection[Any]
RUNS = 4_000


def ask(user: User, route: str, method: str = "GET", **given: Any) -> Answer:
    if method == "POST":
        asked = Asked("POST", "", Body(json.dumps(given).encode(), "application/json"))
    else:
        asked = Asked("GET", urlencode(given, doseq=True), Body(b"", None))
    return look(f"mlflow/{route}", Asker(user.pk), asked)


@pytest.fixture
def reader(bob: User) -> User:
    """No administrator: his grants are read too."""
    grant_mlflow(bob, "experiment", "*", "READ")
    return bob


@pytest.fixture
def run(make_experiment: Callable[..., Experiment], make_run: Callable[..., Run]) -> Run:
    return make_run(make_experiment(), metrics={"loss": 1.0}, params={"p": "1"}, tags={"t": "1"})


# Who asks and what he may see, which ones, and what they hold; an experiment's and a run's all at once.
COSTS = {
    "experiments/get": 1,
    "experiments/get-by-name": 1,
    "experiments/search": 4,
    "runs/get": 1,
    "runs/search": 3,
    "metrics/get-history": 2,
    "metrics/get-history-bulk": 1,
    "metrics/get-history-bulk-interval": 1,
}


def questions(run: Run) -> dict[str, dict[str, Any]]:
    experiment = run.experiment
    assert experiment is not None
    return {
        "experiments/get": {"experiment_id": experiment.pk},
        "experiments/get-by-name": {"experiment_name": experiment.name},
        "experiments/search": {"max_results": 100},
        "runs/get": {"run_id": run.pk},
        "runs/search": {"experiment_ids": [str(experiment.pk)], "method": "POST"},
        "metrics/get-history": {"run_id": run.pk, "metric_key": "loss"},
        "metrics/get-history-bulk": {"run_id": [run.pk], "metric_key": "loss"},
        "metrics/get-history-bulk-interval": {"run_ids": [run.pk], "metric_key": "loss"},
    }


def test_each_route_costs_as_many_statements(
    reader: User, run: Run, make_run: Callable[..., Run]
) -> None:
    for _ in range(20):
        make_run(run.experiment, metrics={"loss": 1.0})
    counted = {}
    for route, given in questions(run).items():
        with read() as seen:
            assert ask(reader, route, **given).status == 200
        counted[route] = len(seen)
    assert counted == COSTS
    assert {f"mlflow/{route}" for route in COSTS} == set(LANE.reading)


@pytest.fixture
def large(run: Run, wire: Wire) -> Iterator[str]:
    """The id of an experiment of so many runs, which the planner knows of."""
    given = {"experiment": run.experiment_id, "runs": RUNS, "mark": uuid.uuid4().hex[:8]}
    with wire.transaction():
        for statement in _FILL:
            wire.execute(statement, given)
    wire.execute("ANALYZE runs, latest_metrics, params, tags")
    yield str(run.experiment_id)
    wire.execute("TRUNCATE runs, latest_metrics, params, tags CASCADE")
    wire.execute("ANALYZE runs, latest_metrics, params, tags")


_FILL = [
    """CREATE TEMPORARY TABLE others ON COMMIT DROP AS
       SELECT n, %(mark)s || lpad(n::text, 24, '0') AS id FROM generate_series(1, %(runs)s) n""",
    """INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id)
       SELECT id, 'run-' || n, 'FINISHED', n, 'active', %(experiment)s FROM others""",
    """INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
       SELECT 'metric-' || k, (n * 7919 % 4001) / 4001.0, 1, 1, false, id FROM others, generate_series(1, 5) k""".replace(
        "%", "%%"
    ).replace("%%(", "%("),
    "INSERT INTO params (key, value, run_uuid) SELECT 'param-' || k, n::text, id FROM others, generate_series(1, 5) k",
    """INSERT INTO tags (key, value, run_uuid)
       SELECT key, 'run-' || n, id FROM others, unnest(ARRAY['mlflow.runName', 'team', 'host']) key""",
]
# A question, and the index of Studio's that answers it.
SERVED = [
    ({}, "studio_runs_by_start"),
    ({"order_by": ["attributes.start_time DESC"]}, "studio_runs_by_start"),
    ({"order_by": ["metrics.`metric-1` DESC"]}, "studio_latest_metrics_by_value"),
    (
        {"order_by": ["metrics.`metric-1` ASC", "params.`param-1`"]},
        "studio_latest_metrics_by_value",
    ),
    ({"filter": "metrics.`metric-1` > 0.999"}, "studio_latest_metrics_by_value"),
    ({"filter": "params.`param-1` = '77'"}, "studio_params_by_value"),
    ({"filter": "tags.team = 'run-77'"}, "studio_tags_by_value"),
    ({"filter": "attributes.run_name = 'run-77'"}, "studio_tags_by_value"),
]


@pytest.mark.parametrize(("given", "index"), SERVED, ids=[str(given) for given, _ in SERVED])
def test_a_page_of_many_runs_is_found_by_an_index(
    reader: User, large: str, wire: Wire, given: dict[str, Any], index: str
) -> None:
    asked = {"experiment_ids": [large], "max_results": 50, **given}
    with read() as seen:
        assert ask(reader, "runs/search", "POST", **asked).status == 200
    statement, values = next(each for each in seen if "FROM runs" in each[0])
    ((plans,),) = wire.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), values).fetchall()
    nodes = list(below(plans[0]["Plan"]))
    assert index in {node.get("Index Name") for node in nodes}
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}


def below(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from below(inner)
