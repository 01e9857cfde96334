"""/api/v1/users: what administrators do with users over HTTP, and that for others there is no such thing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from endpoints.models import Endpoint
from studio.accounts.models import User
from tests.support.live import Studio

GOOD = "a passphrase of some length"
JSON: dict[str, Any] = {
    "content_type": "application/json",
    "headers": {"Sec-Fetch-Site": "same-origin"},
}
FIELDS = {"username", "is_active", "is_administrator", "created_at", "last_sign_in_at"}


def test_users_are_listed_by_name(as_alice: Client, bob: User) -> None:
    answer = as_alice.get("/api/v1/users")
    assert answer.status_code == 200
    alice, other = answer.json()["items"]
    assert set(alice) == FIELDS
    assert (alice["username"], alice["is_administrator"]) == ("alice", True)
    assert (other["username"], other["is_administrator"], other["last_sign_in_at"]) == (
        "bob", False, None,
    )  # fmt: skip
    assert "password" not in answer.content.decode()
    assert answer.json()["next"] is None


@pytest.mark.parametrize("many", [1, 60])
def test_the_number_of_queries_does_not_grow(
    as_alice: Client, django_assert_num_queries: DjangoAssertNumQueries, many: int
) -> None:
    User.objects.bulk_create(User(username=f"user-{number}") for number in range(many))
    with django_assert_num_queries(3):  # session, user, users
        as_alice.get("/api/v1/users")
    with django_assert_num_queries(4):  # and how many there are
        as_alice.get("/administration/users/")


def test_a_user_is_made(as_alice: Client, client: Client) -> None:
    given = {"username": "carol", "password": GOOD}
    answer = as_alice.post("/api/v1/users", given, **JSON)
    assert (answer.status_code, answer["Location"]) == (201, "/api/v1/users/carol")
    assert set(answer.json()) == FIELDS
    assert as_alice.get(answer["Location"]).json() == answer.json()
    assert client.login(username="carol", password=GOOD)
    boss = as_alice.post("/api/v1/users", {"username": "dora", "is_administrator": True}, **JSON)
    assert boss.json()["is_administrator"] is True
    assert not User.objects.get(username="dora").has_usable_password()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "username: This field is required."),
        ({"username": "a b"}, 400, "valid username"),
        ({"username": "x" * 151}, 400, "150 characters"),
        ({"username": ".."}, 400, "means a folder"),
        ({"username": "carol", "password": "short"}, 400, "at least 12 characters"),
        ({"username": "carol", "password": "a\0 of some length"}, 400, "Null characters"),
        ({"username": "carol", "password": "\ud800 of some length"}, 400, "Surrogate"),
        ({"username": "carol", "is_administrator": "perhaps"}, 400, "boolean"),
        ({"username": "alice"}, 409, "There is a user named 'alice' already."),
    ],
)
def test_what_cannot_be_made_is_told(
    as_alice: Client, body: dict[str, Any], status: int, told: str
) -> None:
    answer = as_alice.post("/api/v1/users", body, **JSON)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]
    assert User.objects.count() == 1


def test_the_same_request_makes_one_user(as_alice: Client) -> None:
    given = JSON | {"headers": JSON["headers"] | {"Idempotency-Key": "once"}}
    first, second = (as_alice.post("/api/v1/users", {"username": "carol"}, **given) for _ in "ab")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert User.objects.filter(username="carol").count() == 1


def test_a_user_is_changed(as_alice: Client, bob: User, as_bob: Client) -> None:
    changed = as_alice.patch("/api/v1/users/bob", {"is_administrator": True}, **JSON)
    assert (changed.status_code, changed.json()["is_administrator"]) == (200, True)
    assert as_bob.get("/api/v1/users").status_code == 200
    changed = as_alice.patch(
        "/api/v1/users/bob", {"is_administrator": False, "is_active": False}, **JSON
    )
    assert changed.json() | {"is_active": False, "is_administrator": False} == changed.json()
    assert as_bob.get("/api/v1/users").status_code == 401
    assert as_alice.patch("/api/v1/users/bob", {}, **JSON).json() == changed.json()
    assert as_alice.patch("/api/v1/users/bob", {"is_active": "x"}, **JSON).status_code == 400


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_administrator": False}])
def test_the_last_administrator_stays(as_alice: Client, change: dict[str, bool]) -> None:
    refused = as_alice.patch("/api/v1/users/alice", change, **JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "last active administrator" in refused.json()["error"]["message"]
    assert User.objects.get(username="alice").is_administrator


def test_a_user_is_deleted(as_alice: Client, bob: User) -> None:
    assert as_alice.delete("/api/v1/users/bob", **JSON).status_code == 204
    for method in ("get", "patch", "delete"):
        gone = getattr(as_alice, method)("/api/v1/users/bob", **(JSON if method != "get" else {}))
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    assert as_alice.delete("/api/v1/users/alice", **JSON).status_code == 409


def test_who_made_an_endpoint_is_not_deleted(as_alice: Client, bob: User) -> None:
    Endpoint.objects.create(name="churn", created_by=bob, primary_digest="p", secondary_digest="s")
    refused = as_alice.delete("/api/v1/users/bob", **JSON)
    assert refused.status_code == 409
    assert "bob made churn" in refused.json()["error"]["message"]
    assert "Disable bob instead" in refused.json()["error"]["message"]


def test_a_password_link_is_made(as_alice: Client, bob: User, client: Client) -> None:
    answer = as_alice.post("/api/v1/users/bob/password-link", **JSON)
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    assert set(made) == {"url", "expires_at"}
    left = datetime.fromisoformat(made["expires_at"]) - now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert client.get(made["url"].partition("8000")[2]).status_code == 200
    bob.is_active = False
    bob.save()
    refused = as_alice.post("/api/v1/users/bob/password-link", **JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "enable bob first" in refused.json()["error"]["message"]


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
@pytest.mark.parametrize(
    "path",
    ["users", "users/alice", "users/bob", "users/nobody", "users/bob/password-link"],
)
def test_for_others_there_is_no_such_thing(
    as_bob: Client, alice: User, path: str, method: str
) -> None:
    given = {} if method in ("get", "head") else JSON
    answer = getattr(as_bob, method)(f"/api/v1/{path}", **given)
    assert answer.status_code == 404
    if method != "head":
        error = answer.json()["error"]
        assert (error["code"], error["message"]) == (
            "not_found", f"There is no page at /api/v1/{path}.",
        )  # fmt: skip
    assert User.objects.count() == 2


def test_a_disabled_administrator_is_nobody(as_bob: Client, alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_superuser=True, is_active=False)
    assert as_bob.get("/api/v1/users").status_code == 401


def test_a_token_ends_within_a_second_when_its_user_is_disabled(live: Studio, token: str) -> None:
    """In the web process and in the reference server behind it; the gateway has a test of its own."""
    with live.client(token) as admin:
        admin.post("/api/v1/users", json={"username": "temp"}).raise_for_status()
        theirs = live.token("temp")
        with live.client(theirs) as client:
            path = "/api/2.0/mlflow/experiments/search"
            assert client.post(path, json={"max_results": 1}).status_code == 200
            admin.patch("/api/v1/users/temp", json={"is_active": False}).raise_for_status()
            assert client.post(path, json={"max_results": 1}).status_code == 401
        assert admin.delete("/api/v1/users/temp").status_code == 204
