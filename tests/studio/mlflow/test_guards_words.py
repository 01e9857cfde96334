"""What the guards on users refuse, they refuse as MLflow does: the same request to both, in a running Studio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.studio.mlflow.reference import mlflow_alone
from tests.support.live import Studio

USERS = "/api/2.0/mlflow/users"
NEW = "a long enough password"


@pytest.fixture(scope="module")
def mlflow(live: Studio) -> Iterator[httpx.Client]:
    with mlflow_alone(live) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "create", {"password": NEW}),
        ("POST", "create", {"username": "x"}),
        ("POST", "create", {"username": "", "password": NEW}),
        ("POST", "create", {"username": "x", "password": ""}),
        ("POST", "create", {}),
        ("POST", "create", []),
        ("PATCH", "update-password", {}),
        ("PATCH", "update-password", {"username": "nobody"}),
        ("PATCH", "update-password", {"username": "nobody", "password": NEW}),
        ("PATCH", "update-password", {"username": "admin", "password": NEW}),
        ("PATCH", "update-password", {"username": "admin", "password": NEW, "current_password": ""}),
        ("PATCH", "update-admin", {}),
        ("PATCH", "update-admin", {"username": "nobody"}),
        ("PATCH", "update-admin", {"username": "nobody", "is_admin": True}),
        ("DELETE", "delete", {}),
        ("DELETE", "delete", {"username": "nobody"}),
        ("DELETE", "delete", {"username": "admin"}),
    ],
)  # fmt: skip
def test_a_refusal_is_mlflows_to_the_word(
    live: Studio, token: str, mlflow: httpx.Client, method: str, route: str, body: object
) -> None:
    theirs = mlflow.request(method, f"{USERS}/{route}", json=body)
    with live.client(token) as client:
        ours = client.request(method, f"{USERS}/{route}", json=body)
    assert theirs.status_code >= 400
    assert (ours.status_code, said(ours)) == (theirs.status_code, said(theirs))


@pytest.mark.parametrize(
    ("method", "route", "kind", "body"),
    [
        ("POST", "create", "text/plain", b'{"username": "x", "password": "y"}'),
        ("POST", "create", "application/x-www-form-urlencoded", b"username=x&password=y"),
        ("POST", "create?username=x&password=y", "application/json; charset=utf-8", b"{"),
        ("POST", "create", "application/vnd.x+json", b'{"username": "x", "password": ""}'),
        ("PATCH", "update-admin?username=nobody&is_admin=1", "text/plain", b""),
        ("PATCH", "update-admin", "application/json", b'{"username": "admin", "username": "x"}'),
        ("DELETE", "delete?username=nobody&username=admin", "text/plain", b'{"username": "admin"}'),
        ("DELETE", "delete?username=admin", "application/json", b'{"username": "nobody"}'),
        ("DELETE", "delete?username=nobody", "application/json", b"[]"),
    ],
)
def test_a_body_is_read_as_mlflow_reads_it(
    live: Studio, token: str, mlflow: httpx.Client, method: str, route: str, kind: str, body: bytes
) -> None:  # fmt: skip
    sent: Any = {"content": body, "headers": {"Content-Type": kind}}
    theirs = mlflow.request(method, f"{USERS}/{route}", **sent)
    with live.client(token) as client:
        ours = client.request(method, f"{USERS}/{route}", **sent)
    assert theirs.status_code >= 400
    assert (ours.status_code, said(ours)) == (theirs.status_code, said(theirs))


def said(response: httpx.Response) -> object:
    """The error's code and message, which are all that a client of MLflow's reads, or the plain text."""
    if not response.text.startswith("{"):
        return response.text
    told = response.json()
    return told["error_code"], told["message"]
