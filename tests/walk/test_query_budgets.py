"""How many statements each page of Studio's own costs: the same number, however much there is to show."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from endpoints.models import State
from studio.accounts.models import AccessToken, AuditEvent, User
from tests.support.grants import grant_mlflow, grant_studio
from tests.support.rows import log_metric, make_experiment, make_run, make_version
from tests.support.serving import make_deployment, make_endpoint, make_replica
from tests.walk.test_studio_walk import ROUTES, Route, Theirs

NAME = "walked"
# Statements by route, two of them for the session and its user. What is not here answers no GET with a page.
BUDGETS = {
    "": 7,
    "find/": 7,
    "settings/tokens/": 3,
    "settings/password/": 2,
    "administration/users/": 4,
    "administration/users/<str:username>/": 9,
    "administration/users/<str:username>/delete/": 8,
    "experiments/": 4,
    "experiments/<int:pk>/": 8,
    "experiments/<int:pk>/access/": 6,
    "runs/<str:run_id>/": 11,
    "runs/<str:run_id>/artifacts/": 3,
    "models/": 5,
    "runs/<str:run_id>/register/": 5,
    "runs/<str:run_id>/registered/": 4,
    "models/<str:name>/": 6,
    "models/<str:name>/access/": 6,
    "models/<str:name>/versions/<int:version>/": 7,
    "endpoints/": 6,
    "models/<str:name>/versions/<int:version>/deploy/": 7,
    "endpoints/<str:name>/": 12,
    "endpoints/<str:name>/access/": 6,
    "endpoints/<str:name>/overview/": 10,
    "endpoints/<str:name>/delete/": 4,
    "endpoints/<str:name>/deployments/<str:deployment>/log/": 6,
    "endpoints/<str:name>/deployments/<str:deployment>/log/download/": 6,
    "endpoints/<str:name>/deployments/<str:deployment>/replicas/": 7,
    "endpoints/<str:name>/deployments/<str:deployment>/stop/": 5,
    "endpoints/<str:name>/deployments/<str:deployment>/size/": 4,
    "endpoints/<str:name>/deployments/<str:deployment>/delete/": 7,
}
# Not Studio's own pages, or none of content: the health page asks each process what it does.
NO_PAGES = (
    "api/",
    "admin/",
    "administration/health/",
    "mlflow",
    "^mlflow",
    "livez",
    "healthz",
    "metrics",
)


def make_everything(alice: User, many: int) -> Theirs:
    """So many of each thing that pages list, below things that are named alike however many there are."""
    experiment = make_experiment(NAME)
    run = make_run(experiment, NAME, params={"depth": "1"})
    endpoint = make_endpoint(alice, NAME)
    for number in range(many):
        make_run(
            experiment,
            metrics={"loss": number},
            params={f"p{number}": "x"},
            tags={"mlflow.parentRunId": run.pk},
        )
        make_run(make_experiment(f"{NAME} {number}"))
        log_metric(run, f"metric {number}", [1.0, 2.0])
        make_version(NAME, number + 1, run_id=run.pk)
        make_version(f"{NAME} {number}", 1)
        deployment = make_deployment(alice, endpoint, f"{NAME}-{number}", state=State.LIVE)
        make_replica(deployment)
        make_deployment(alice, make_endpoint(alice, f"{NAME}-{number}"), state=State.FAILED)
        token, _ = AccessToken.issue(user=alice, label=f"{NAME} {number}")
        other = User.objects.create_user(f"{NAME}-{number}")
        grant_mlflow(other, "experiment", experiment.pk, "READ")
        grant_mlflow(other, "registered_model", NAME, "READ")
        grant_studio(other, "endpoint", endpoint.pk, "READ")
        event = AuditEvent.objects.create(actor="alice", action="walk", target=NAME)
    return Theirs(run.pk, experiment.pk, NAME, NAME, f"{NAME}-0", token.pk, f"{NAME}-0", event.pk)


def is_page(route: Route) -> bool:
    return not route.path.startswith(NO_PAGES)


@pytest.mark.parametrize("many", [1, 12])
def test_every_page_keeps_to_its_number_of_statements(
    as_alice: Client, alice: User, many: int
) -> None:
    things = make_everything(alice, many)
    found = {}
    for route in filter(is_page, ROUTES):
        with CaptureQueriesContext(connection) as asked:
            answer = as_alice.get(things.fill(route), {"key": "metric 0", "path": "", "text": NAME})
        if answer.status_code == 200:
            found[route.path] = len(asked)
    assert found == BUDGETS
