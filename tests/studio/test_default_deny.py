"""Every address needs somebody who has signed in, unless it is named here with a reason."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

OPEN = {
    "livez": "a load balancer asks without a password",
    "healthz": "a load balancer asks without a password",
    "favicon.ico": "a picture that browsers ask for before anybody has signed in",
    "login/": "the door itself",
    "admin/login/": "the door of Django's own administration",
}
# A value for each kind of path argument.
SAMPLES = {"int": "1", "str": "x", "path": "x/y", "slug": "x"}


def addresses() -> Iterator[str]:
    """A path for each address of the URL configuration."""
    yield from (re.sub(r"<(?:(\w+):)?\w+>", _sample, route) for route in _routes(get_resolver()))


def _routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route


def _sample(argument: re.Match[str]) -> str:
    return SAMPLES[argument[1] or "str"]


MLFLOW = [
    "api/2.0/mlflow/runs/search",
    "api/3.0/mlflow/logged-models/m-1",
    "ajax-api/2.0/mlflow/runs/get",
    "ajax-api/3.0/jobs",
    "api/2.0/mlflow-artifacts/artifacts/1/x",
    "graphql",
    "v1/traces",
    "gateway/x",
    "get-artifact",
    "model-versions/get-artifact",
    "version",
]
ADDRESSES = [path for path in addresses() if not re.search(r"[\^$(\\]", path)] + MLFLOW


def test_the_addresses_are_those_of_studio() -> None:
    told = set(ADDRESSES)
    assert {"", "experiments/1/", "models/x/versions/1/", "endpoints/", "api/v1/tokens"} <= told
    assert set(OPEN) <= told
    written_otherwise = [path for path in addresses() if re.search(r"[\^$(\\]", path)]
    assert len(written_otherwise) == 3  # MLflow's routes above; two of Django's administration


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", ADDRESSES)
def test_nobody_is_let_in_unsigned(client: Client, path: str) -> None:
    client.raise_request_exception = False
    for method in ("get", "head", "post", "put", "patch", "delete", "options"):
        response = getattr(client, method)(f"/{path}")
        if path in OPEN:
            assert response.status_code != 401, method
            assert "/login/" not in response.headers.get("Location", ""), method
        elif response.status_code == 302:
            assert re.match(r"/(admin/)?login/\?next=", response["Location"]), method
        else:
            assert response.status_code == 401, method
    if path == "healthz":
        gc.collect()  # httpcore leaves a socket that found nobody to the garbage collector, which warns
