"""/api/v1 does what its schema says: schemathesis asks every operation, as an administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from endpoints.models import ENDPOINT, State, Wanted
from studio.accounts.models import AccessToken, Grant, Permission, User
from tests.support.rows import make_version
from tests.support.serving import make_deployment, make_endpoint

SEED, EXAMPLES = 20261124, 50
TOKEN_ID = 7_000_000
# What most requests name in these places: it is there, or may be made.
KNOWN: dict[str, list[str | int]] = {
    "path.name": ["iris"],
    "path.deployment": ["blue", "green", "red"],
    "path.username": ["carol"],
    "path.id": [TOKEN_ID],
    "query.attempt": [1],
    "body.model_uri": ["models:/churn/1", "models:/churn@champion"],
}


def configuration() -> SchemathesisConfig:
    """Every operation is asked the same on each run, whatever was asked before."""
    by_itself = {"extra-data-sources": {"responses": False}}
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "generation": {"max-examples": EXAMPLES, "deterministic": True},
            "phases": {
                "examples": by_itself,
                "coverage": by_itself,
                "fuzzing": by_itself | {"error-feedback": {"enabled": False}},
            },
            "dictionaries": {place: {"values": values} for place, values in KNOWN.items()},
            "parameters": {place: {"dictionary": place, "probability": 0.8} for place in KNOWN},
        }
    )


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Studio, made at the first request: fixtures stand before that."""
    return django()(environ, start_response)


django = cache(get_wsgi_application)
described = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
schema = schemathesis.openapi.from_dict(described, config=configuration())
schema.app = application


@pytest.fixture
def token(alice: User) -> str:
    """An administrator's, where there is one of each thing that paths name."""
    carol = User.objects.create_user("carol")
    endpoint = make_endpoint(alice, "iris")
    make_deployment(alice, endpoint, "blue", state=State.FAILED)
    make_deployment(alice, endpoint, "green", state=State.LIVE)
    make_deployment(alice, endpoint, "red", state=State.STOPPED, wanted=Wanted.STOPPED)
    make_version("churn")
    Grant.objects.create(
        user=carol,
        resource_type=ENDPOINT,
        resource_id=str(endpoint.pk),
        permission=Permission.USE,
    )
    AccessToken.objects.create(pk=TOKEN_ID, user=alice, label="old", digest="0" * 64)
    return AccessToken.issue(user=alice, label="test")[1]


@pytest.fixture
def one_connection() -> Iterator[None]:
    """The end of a request leaves the test's own connection open, as with Django's test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def answered() -> Iterator[list[int]]:
    """The statuses of an operation's answers: of as many as there shall be, with a success among them."""
    statuses: list[int] = []
    yield statuses
    assert len(statuses) >= EXAMPLES
    assert any(200 <= status < 300 for status in statuses), sorted(set(statuses))


# Each request is undone, so that the next one finds what the fixture has made.
@pytest.mark.django_db
@pytest.mark.usefixtures("one_connection")
@schema.parametrize()
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_an_operation_answers_as_described(
    case: Case[Any], token: str, answered: list[int]
) -> None:
    _choose_a_good_password(case)
    with transaction.atomic():
        response = case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
        if response.request.method == case.operation.method.upper():  # else one that is not there
            answered.append(response.status_code)
        transaction.set_rollback(True)


def _choose_a_good_password(case: Case[Any]) -> None:
    """A schema cannot tell which passwords are easy to guess: those that it allows become one that is not."""
    body: Any = case.body
    password = body.get("password") if isinstance(body, dict) else None
    if isinstance(password, str) and 1 <= len(password) <= 1000 and "\0" not in password:
        case.body = body | {"password": "a long enough password"}
