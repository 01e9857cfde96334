"""Every route of MLflow's own server is answered through Studio, or stands here with a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from django.test import Client
from django.urls import Resolver404, resolve

from studio.mlflow.forward import forward
from tests.support.web import environment

pytestmark = pytest.mark.django_db  # or there is no test database at all
# Not passed on. A pattern for the path, and why.
NOT_OURS = {
    r"/": "MLflow's own web UI: Studio's first page is here",
    r"/static-files/.*": "files of that UI",
    r"/health": "Studio has /livez and /healthz",
    r"/signup": "users are Studio's",
    r"/build/.*": "files of that UI",
    r"/api/2\.0mlflow/experiments/search-datasets": "a slip of MLflow's: no client calls it without the slash",
}
# In Studio's URL configuration, and refused there: they would write MLflow's table of users alone.
USER_ROUTES = {"create", "create-ui", "update-password", "update-admin", "delete"}


class Route(NamedTuple):
    path: str
    methods: list[str]

    @property
    def sample(self) -> str:
        """A path that this route takes."""
        return re.sub(r"<[^>]+>|\{[^}]+\}", "x", self.path)

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


def test_users_are_not_written_through_mlflow(as_alice: Client, routes: list[Route]) -> None:
    """An answer of 403 comes from Studio: nobody listens on the reference socket here."""
    closed = [
        r for r in routes if "/mlflow/users/" in r.path and r.path.split("/")[-1] in USER_ROUTES
    ]
    assert {route.path.split("/")[-1] for route in closed} == USER_ROUTES
    for route in closed:
        for method in {"POST", "PATCH", "PUT", "DELETE", "GET"} & set(route.methods):
            response = as_alice.generic(
                method, route.path, headers={"Sec-Fetch-Site": "same-origin"}
            )
            assert response.status_code == 403, route
            assert response.json()["error_code"] == "PERMISSION_DENIED"


def test_every_route_of_mlflows_users_is_judged(routes: list[Route]) -> None:
    """A new one must be closed, or be known to only read or to write grants."""
    known = USER_ROUTES | {"get", "list", "current", "roles", "permissions", "grant", "revoke"}
    found = {
        part
        for route in routes
        if "/mlflow/users/" in route.path
        for part in route.path.split("/mlflow/users/")[1].split("/")
    }
    assert found <= known, found - known
