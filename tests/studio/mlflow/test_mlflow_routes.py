"""Every route of MLflow's own server is answered through Studio, and has been judged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from django.urls import Resolver404, resolve

from studio.mlflow.forward import forward
from studio.mlflow.guards import TABLE
from tests.studio.mlflow.judged_routes import judged, line_for
from tests.support.web import environment

pytestmark = pytest.mark.django_db  # or there is no test database at all
# Not passed on. A pattern for the path, and why.
NOT_OURS = {
    r"/": "MLflow's own web UI: Studio's first page is here",
    r"/static-files/.*": "files of that UI",
    r"/health": "Studio has /livez and /healthz",
    r"/build/.*": "files of that UI",
    r"/api/2\.0mlflow/experiments/search-datasets": "a slip of MLflow's: no client calls it without the slash",
}


class Route(NamedTuple):
    path: str
    methods: list[str]

    @property
    def sample(self) -> str:
        """A path that this route takes."""
        return re.sub(r"<[^>]+>|\{[^}]+\}", "x", self.path)

    @property
    def written(self) -> list[str]:
        """The methods that are written out in the tables: HEAD goes with GET, and OPTIONS does nothing."""
        return [method for method in self.methods if method not in ("HEAD", "OPTIONS")]

    def lines(self) -> list[str]:
        return [line_for(method, self.path) for method in self.written]

    def is_not_ours(self) -> bool:
        return any(re.fullmatch(pattern, self.path) for pattern in NOT_OURS)


@pytest.fixture(scope="module")
def routes(django_db_setup: None) -> list[Route]:
    program = str(Path(__file__).with_name("routes_of_mlflow.py"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", program],
        env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = (json.loads(line) for line in done.stdout.splitlines())
    return [Route(path, methods) for path, *methods in told]


def is_forwarded(path: str) -> bool:
    try:
        return resolve(path).func is forward
    except Resolver404:
        return False


def test_the_routes_are_those_of_a_whole_server(routes: list[Route]) -> None:
    paths = {route.path for route in routes}
    assert len(paths) > 300
    assert {
        "/api/2.0/mlflow/runs/search",
        "/ajax-api/2.0/mlflow/runs/search",
        "/api/2.0/mlflow-artifacts/artifacts/{artifact_path:path}",
        "/v1/traces",
        "/graphql",
        "/get-artifact",
    } <= paths
    assert any("users/create" in path for path in paths)  # MLflow's permission rules are on


def test_every_route_is_answered_through_studio_or_named_here(routes: list[Route]) -> None:
    lost = [r.path for r in routes if not is_forwarded(r.sample) and not r.is_not_ours()]
    assert lost == []


def test_no_reason_is_given_for_a_route_that_is_not_there(routes: list[Route]) -> None:
    unneeded = [
        pattern for pattern in NOT_OURS if not any(re.fullmatch(pattern, r.path) for r in routes)
    ]
    assert unneeded == []


def test_a_route_that_is_not_ours_is_not_passed_on(routes: list[Route]) -> None:
    assert [r.path for r in routes if r.is_not_ours() and is_forwarded(r.sample)] == []


def test_every_route_has_a_guard_or_is_known_to_need_none(routes: list[Route]) -> None:
    assert unjudged(routes) == []


def test_a_route_that_is_new_in_mlflow_would_be_seen() -> None:
    new = [
        Route("/api/2.0/mlflow/runs/forget", ["OPTIONS", "POST"]),
        Route("/ajax-api/4.0/mlflow/users/invite", ["POST"]),
        Route("/api/2.0/mlflow/users/create", ["PUT"]),
        Route("/api/3.0/mlflow/traces/<trace_id>", ["DELETE"]),
        Route("/api/3.0/mlflow/datasets/{name:path}/wipe", ["GET", "HEAD"]),
    ]
    assert unjudged(new) == [
        "POST mlflow/runs/forget",
        "POST mlflow/users/invite",
        "PUT mlflow/users/create",
        "DELETE mlflow/traces/*",
        "GET mlflow/datasets/*/wipe",
    ]


def test_no_line_and_no_guard_is_for_a_route_that_is_not_there(routes: list[Route]) -> None:
    named = {line for route in routes for line in route.lines()}
    assert sorted(set(judged()) - named) == []
    unneeded = [
        guard.pattern.pattern
        for guard in TABLE.guards
        if not any(guard in TABLE.on(method, r.sample) for r in routes for method in r.methods)
    ]
    assert unneeded == []


def test_no_route_is_named_twice(routes: list[Route]) -> None:
    """Not by two lines, nor by a guard and a line that says it has none."""
    lines = judged()
    assert sorted(line for line in set(lines) if lines.count(line) > 1) == []
    guarded = {
        line_for(method, r.path)
        for r in routes
        for method in r.written
        if TABLE.on(method, r.sample)
    }
    assert guarded & set(lines) == set()


def unjudged(routes: list[Route]) -> list[str]:
    """What stands neither in the guard table nor among the routes that are known to need no guard."""
    known = set(judged())
    return [
        line
        for route in routes
        for method in route.written
        if (line := line_for(method, route.path)) not in known
        and not TABLE.on(method, route.sample)
    ]
