"""The description of the API and the state of the migrations."""

from __future__ import annotations

import re
import warnings
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

pytestmark = pytest.mark.django_db


def routes(resolver: URLResolver, before: str = "") -> list[str]:
    found: list[str] = []
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        found += routes(pattern, route) if isinstance(pattern, URLResolver) else [route]
        assert isinstance(pattern, URLResolver | URLPattern)
    return found


def described(client: Client) -> dict[str, Any]:
    response = client.get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert response.status_code == 200
    return dict(response.json())


def test_the_schema_names_every_path(as_alice: Client) -> None:
    paths = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
        for route in routes(get_resolver())
        if route.startswith("api/v1/")
    }
    told = {re.sub(r"\{id\}", "{pk}", path) for path in described(as_alice)["paths"]}
    assert told == paths - {"/api/v1/schema"}
    assert "/api/v1/endpoints/{name}/deployments/{deployment}/logs" in told


def test_every_operation_says_how_to_sign_in_and_what_it_answers(as_alice: Client) -> None:
    schema = described(as_alice)
    assert set(schema["components"]["securitySchemes"]) == {"token", "password"}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["security"] == [{"token": []}, {"password": []}], (method, path)
            assert operation["responses"], (method, path)


def test_the_schema_renders_without_a_warning() -> None:
    told = StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_command("spectacular", "--fail-on-warn", "--validate", stdout=told)
    assert "openapi: 3" in told.getvalue()


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


def test_the_configuration_has_no_complaints() -> None:
    call_command("check", "--fail-level", "WARNING", stdout=StringIO(), stderr=StringIO())
