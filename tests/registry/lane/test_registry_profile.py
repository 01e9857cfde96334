"""What a question costs PostgreSQL: few statements, however much is found, and an index where one can serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from registry.lane import LANE
from registry.models import ModelVersion
from studio.accounts.models import User
from tests.support.grants import grant_mlflow
from tests.support.rows import make_version
from tests.support.sent import read
from tests.tracking.lane.reading.test_reading_profile import ask, below

Wire = psycopg.Connection[Any]
Version = Callable[..., ModelVersion]
MODELS = 2_000

# Who asks and what he may see, which ones, and what they hold; a model and a version all at once.
COSTS = {
    "registered-models/get": 1,
    "registered-models/search": 3,
    "registered-models/alias": 1,
    "model-versions/get": 1,
    "model-versions/search": 3,
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "registered-models/get": {"name": "churn"},
    "registered-models/search": {"max_results": 100},
    "registered-models/alias": {"name": "churn", "alias": "latest"},
    "model-versions/get": {"name": "churn", "version": 1},
    "model-versions/search": {"max_results": 100},
}


@pytest.fixture
def reader(bob: User) -> User:
    """No administrator: his grants are read too."""
    grant_mlflow(bob, "registered_model", "*", "READ")
    return bob


def test_each_route_costs_as_many_statements(reader: User, alice: User) -> None:
    for name in ("churn", *(f"other-{number}" for number in range(20))):
        make_version(name)
    for user in (reader, alice):
        counted = {}
        for route, given in QUESTIONS.items():
            with read() as seen:
                assert ask(user, route, **given).status == 200
            counted[route] = len(seen)
        assert counted == COSTS
    assert {f"mlflow/{route}" for route in COSTS} == set(LANE.reading)


@pytest.fixture
def large(wire: Wire) -> Iterator[None]:
    """So many models of five versions each, which the planner knows of."""
    for statement in _FILL:
        wire.execute(statement, {"models": MODELS})
    wire.execute(_ANALYZE)
    yield
    wire.execute("TRUNCATE registered_models CASCADE")
    wire.execute(_ANALYZE)


_FILL = [
    """INSERT INTO registered_models (workspace, name, creation_time, last_updated_time)
       SELECT 'default', 'model-' || n, n, n * 7919 %% 2003 FROM generate_series(1, %(models)s) n""",
    """INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, current_stage, run_id)
       SELECT 'default', 'model-' || n, v, n, (n * 7919 + v) %% 2003, 'None', md5(n || '-' || v)
       FROM generate_series(1, %(models)s) n, generate_series(1, 5) v""",
    """INSERT INTO registered_model_tags (workspace, name, key, value)
       SELECT workspace, name, 'team', 'blue' FROM registered_models""",
    """INSERT INTO model_version_tags (workspace, name, version, key, value)
       SELECT workspace, name, version, 'team', name FROM model_versions""",
]
_ANALYZE = "ANALYZE registered_models, model_versions, registered_model_tags, model_version_tags"
# A question, and the index that answers it.
SERVED = [
    ("registered-models/search", {}, "registered_model_pk"),
    ("model-versions/search", {}, "studio_versions_by_update"),
    ("model-versions/search", {"filter": "run_id = 'x'"}, "studio_versions_by_run"),
    ("model-versions/search", {"filter": "run_id IN ('x', 'y')"}, "studio_versions_by_run"),
    (
        "model-versions/search",
        {"filter": "tags.team = 'model-7'"},
        "studio_version_tags_by_value",
    ),
    ("model-versions/search", {"filter": "name = 'model-7'"}, "model_version_pk"),
]


@pytest.mark.parametrize(("route", "given", "index"), SERVED, ids=str)
def test_a_page_is_found_by_an_index(
    alice: User, large: None, wire: Wire, route: str, given: dict[str, Any], index: str
) -> None:
    with read() as seen:
        assert ask(alice, route, max_results=100, **given).status == 200
    statement, values = seen[1]
    ((plans,),) = wire.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), values).fetchall()
    nodes = list(below(plans[0]["Plan"]))
    assert index in {node.get("Index Name") for node in nodes}
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
