"""MLflow's routes for users write Studio's users. MLflow's server is not running here: Studio answers itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from endpoints.models import Endpoint
from studio.accounts import limiter
from studio.accounts.models import AuditEvent, MlflowUser, User

pytestmark = pytest.mark.django_db
USERS = "/api/2.0/mlflow/users"
OURS = {"Sec-Fetch-Site": "same-origin"}
OLD = "another long password"  # bob's
NEW = "a new and long password"
Ask = Callable[..., tuple[int, Any]]


def asking(client: Client) -> Ask:
    def ask(method: str, route: str, body: object, before: str = USERS) -> tuple[int, Any]:
        response = client.generic(
            method, f"{before}/{route}", json.dumps(body), "application/json", headers=OURS
        )
        kind = response.headers["Content-Type"]
        told = response.json() if kind == "application/json" else response.content.decode()
        return response.status_code, told

    return ask


@pytest.fixture
def alice_asks(as_alice: Client) -> Ask:
    return asking(as_alice)


@pytest.fixture
def bob_asks(as_bob: Client) -> Ask:
    return asking(as_bob)


def error(code: str, message: str) -> dict[str, str]:
    return {"error_code": code, "message": message}


def events() -> list[tuple[str, str, str]]:
    return [(e.actor, e.action, e.target) for e in AuditEvent.objects.order_by("pk")]


@pytest.mark.parametrize(
    "before", [USERS, "/ajax-api/2.0/mlflow/users", "/mlflow/ajax-api/2.0/mlflow/users"]
)
def test_an_administrator_creates_a_user(alice_asks: Ask, before: str) -> None:
    told = alice_asks("POST", "create", {"username": "carol", "password": NEW}, before)
    row = MlflowUser.objects.get(username="carol")
    assert told == (200, {"user": {"id": row.id, "username": "carol", "is_admin": False}})
    carol = User.objects.get(username="carol")
    assert carol.check_password(NEW)
    assert not carol.is_administrator
    assert ("alice", "user.create", "carol") in events()


def test_a_name_that_is_taken_is_told(alice_asks: Ask, bob: User) -> None:
    status, told = alice_asks("POST", "create", {"username": "bob", "password": NEW})
    assert status == 400
    assert told == error("RESOURCE_ALREADY_EXISTS", "User (username=bob) already exists.")
    assert User.objects.get(pk=bob.pk).check_password(OLD)


@pytest.mark.parametrize(
    "body",
    [
        {"username": "carol", "password": "short"},
        {"username": "carol", "password": 123456789012},
        {"username": "carol", "password": "x" * 12 + "\ud800"},
        {"username": "not a name", "password": NEW},
        {"username": "a\0b", "password": NEW},
        {"username": ["carol"], "password": NEW},
        {"username": "x" * 151, "password": NEW},
        {"username": "carol"},
        {"password": NEW},
        {},
        [],
        None,
    ],
)
def test_a_user_that_cannot_be_is_refused_and_nothing_is_made(
    alice_asks: Ask, body: object
) -> None:
    status, told = alice_asks("POST", "create", body)
    assert (status, told["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert told["message"]
    for made in (User.objects, MlflowUser.objects):
        assert list(made.values_list("username", flat=True)) == ["alice"]


def test_a_parameter_that_is_missing_is_named(alice_asks: Ask) -> None:
    told = (
        "Missing value for required parameter 'password'. "
        "See the API docs for more information about request parameters."
    )
    for method, route in (("POST", "create"), ("PATCH", "update-password")):
        answer = alice_asks(method, route, {"username": "bob"})
        assert answer == (400, error("INVALID_PARAMETER_VALUE", told))


@pytest.mark.parametrize("empty", ["username", "password"])
def test_an_empty_name_or_password_is_refused_as_mlflow_does(alice_asks: Ask, empty: str) -> None:
    body = {"username": "carol", "password": NEW} | {empty: ""}
    told = alice_asks("POST", "create", body)
    assert told == (400, "Username and password cannot be empty.")
    assert not User.objects.filter(username="carol").exists()


def test_a_form_does_not_create_a_user(as_alice: Client) -> None:
    form = {"username": "carol", "password": NEW}
    response = as_alice.post(f"{USERS}/create", form, headers=OURS)
    assert response.status_code == 400
    assert response.content == b"Invalid content type. Must be application/json"
    assert not User.objects.filter(username="carol").exists()


def test_an_administrator_sets_anybodys_password(alice_asks: Ask, bob: User) -> None:
    told = alice_asks("PATCH", "update-password", {"username": "bob", "password": NEW})
    assert told == (200, {})
    bob.refresh_from_db()
    assert bob.check_password(NEW)
    assert ("alice", "user.set_password", "bob") in events()
    assert NEW not in str(events())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "Current password is required when changing your own password."),
        ({"current_password": ""}, "Current password is required when changing your own password."),
        ({"current_password": "wrong"}, "Current password does not match."),
        ({"current_password": 5}, "A user name and a password are text."),
        (
            {"current_password": OLD, "password": OLD},
            "New password must differ from the current password.",
        ),
        (
            {"current_password": OLD, "password": "short"},
            "This password is too short. It must contain at least 12 characters.",
        ),
    ],
)
def test_ones_own_password_needs_the_one_before_and_a_new_one(
    bob_asks: Ask, bob: User, more: dict[str, Any], message: str
) -> None:
    body = {"username": "bob", "password": NEW} | more
    told = bob_asks("PATCH", "update-password", body)
    assert told == (400, error("INVALID_PARAMETER_VALUE", message))
    bob.refresh_from_db()
    assert bob.check_password(OLD)


def test_a_user_sets_his_own_password(bob_asks: Ask, bob: User) -> None:
    body = {"username": "bob", "password": NEW, "current_password": OLD}
    assert bob_asks("PATCH", "update-password", body) == (200, {})
    bob.refresh_from_db()
    assert bob.check_password(NEW)


def test_an_administrator_too_proves_to_know_his_own(alice_asks: Ask, alice: User) -> None:
    status, told = alice_asks("PATCH", "update-password", {"username": "alice", "password": NEW})
    assert (status, told["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert User.objects.get(pk=alice.pk).check_password("a long enough password")


def test_whoever_guesses_the_current_password_must_wait(bob_asks: Ask, bob: User) -> None:
    body = {"username": "bob", "password": NEW, "current_password": "wrong"}
    for _ in range(limiter.ALLOWED):
        assert bob_asks("PATCH", "update-password", body)[0] == 400
    status, told = bob_asks("PATCH", "update-password", body | {"current_password": OLD})
    assert (status, told["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    bob.refresh_from_db()
    assert bob.check_password(OLD)


def test_an_administrator_makes_administrators_and_ends_them(alice_asks: Ask, bob: User) -> None:
    for is_admin in (True, False):
        body = {"username": "bob", "is_admin": is_admin}
        assert alice_asks("PATCH", "update-admin", body) == (200, {})
        bob.refresh_from_db()
        assert bob.is_administrator is is_admin
        assert MlflowUser.objects.get(username="bob").is_admin is is_admin


@pytest.mark.parametrize("value", ["true", 1, None])
def test_administrator_or_not_is_true_or_false(alice_asks: Ask, bob: User, value: object) -> None:
    status, told = alice_asks("PATCH", "update-admin", {"username": "bob", "is_admin": value})
    assert (status, told["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    bob.refresh_from_db()
    assert not bob.is_administrator


def test_the_last_administrator_stays_one(alice_asks: Ask, alice: User) -> None:
    status, told = alice_asks("PATCH", "update-admin", {"username": "alice", "is_admin": False})
    assert (status, told["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert "last active administrator" in told["message"]
    alice.refresh_from_db()
    assert alice.is_administrator


def test_an_administrator_deletes_a_user(alice_asks: Ask, bob: User) -> None:
    assert alice_asks("DELETE", "delete", {"username": "bob"}) == (200, {})
    assert not User.objects.filter(username="bob").exists()
    assert not MlflowUser.objects.filter(username="bob").exists()
    assert ("alice", "user.delete", "bob") in events()


def test_a_name_in_the_query_names_whom_to_delete(as_alice: Client, bob: User) -> None:
    assert as_alice.delete(f"{USERS}/delete?username=bob", headers=OURS).status_code == 200
    assert not User.objects.filter(username="bob").exists()


def test_nobody_deletes_himself(alice_asks: Ask, alice: User) -> None:
    told = "Users cannot delete their own account. Ask another admin to delete this user instead."
    assert alice_asks("DELETE", "delete", {"username": "alice"}) == (
        400,
        error("BAD_REQUEST", told),
    )
    assert User.objects.filter(pk=alice.pk).exists()


def test_a_user_whose_endpoints_stay_is_not_deleted(alice_asks: Ask, bob: User) -> None:
    Endpoint.objects.create(name="iris", created_by=bob)
    status, told = alice_asks("DELETE", "delete", {"username": "bob"})
    assert (status, told["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert "Disable bob instead" in told["message"]
    assert User.objects.filter(pk=bob.pk).exists()
    assert MlflowUser.objects.filter(username="bob").exists()


@pytest.mark.parametrize("name", ["nobody", "", "a\0b", 5, None, ["bob"]])
@pytest.mark.parametrize(
    ("method", "route", "more"),
    [
        ("PATCH", "update-password", {"password": NEW}),
        ("PATCH", "update-admin", {"is_admin": True}),
        ("DELETE", "delete", {}),
    ],
)
def test_a_user_who_is_not_there_is_not_found(
    alice_asks: Ask, bob: User, method: str, route: str, more: dict[str, Any], name: object
) -> None:
    told = alice_asks(method, route, {"username": name} | more)
    assert told == (404, error("RESOURCE_DOES_NOT_EXIST", f"User with username={name} not found"))


@pytest.mark.parametrize(
    ("method", "route", "more"),
    [
        ("POST", "create", {"password": NEW}),
        ("PATCH", "update-password", {"password": NEW, "current_password": OLD}),
        ("PATCH", "update-admin", {"is_admin": True}),
        ("DELETE", "delete", {}),
    ],
)
@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_who_is_no_administrator_may_do_nothing_to_others(
    bob_asks: Ask, alice: User, method: str, route: str, more: dict[str, Any], name: str
) -> None:
    told = bob_asks(method, route, {"username": name} | more)
    message = "Only an administrator of Studio may do this to users."
    assert told == (403, error("PERMISSION_DENIED", message))
    assert User.objects.get(pk=alice.pk).check_password("a long enough password")
    assert set(User.objects.values_list("username", flat=True)) == {"alice", "bob"}


def test_who_is_no_administrator_makes_himself_none(bob_asks: Ask, bob: User) -> None:
    assert bob_asks("PATCH", "update-admin", {"username": "bob", "is_admin": True})[0] == 403
    assert bob_asks("DELETE", "delete", {"username": "bob"})[0] == 403
    bob.refresh_from_db()
    assert not bob.is_administrator


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/signup", f"{USERS}/create-ui"])
def test_nobody_signs_up(as_alice: Client, method: str, path: str) -> None:
    response = as_alice.generic(method, path, headers=OURS)
    assert response.status_code == 403
    assert response.json()["error_code"] == "PERMISSION_DENIED"
    assert "an administrator of Studio makes users" in response.json()["message"]


def test_another_site_writes_no_user_in_a_visitors_name(as_alice: Client) -> None:
    for site in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        response = as_alice.post(
            f"{USERS}/create",
            {"username": "carol", "password": NEW},
            "application/json",
            headers=site,
        )
        assert response.status_code == 403
    assert not User.objects.filter(username="carol").exists()
