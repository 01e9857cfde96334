"""Administrators' pages of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from endpoints.models import ENDPOINT, Endpoint
from studio.accounts import limiter, services
from studio.accounts.access import may_create
from studio.accounts.models import (
    AuditEvent,
    Grant,
    MlflowUser,
    PasswordLink,
    Role,
    RolePermission,
    User,
    UserRoleAssignment,
)
from tests.support.pages import page

USER = "/administration/users/bob/"
ACTIONS = ["password-link", "active", "administrator", "lockouts", "endpoints", "delete"]


def sections(client: Client) -> list[str]:
    read = page(client.get("/settings/tokens/"))
    return [a["href"] for a in read.all("a") if a["href"].startswith("/administration/")]


def test_only_administrators_see_the_way_there(as_alice: Client, as_bob: Client) -> None:
    assert set(sections(as_alice)) == {"/administration/users/"}
    assert sections(as_bob) == []
    for client, found in ((as_alice, True), (as_bob, False)):
        palette = client.get("/find/", {"text": "admin"})
        assert ("/administration/users/" in palette.content.decode()) is found


@pytest.mark.parametrize(
    "path", ["", "users/", "users/bob/", *(f"users/bob/{a}/" for a in ACTIONS)]
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_for_others_there_is_no_such_page(
    as_bob: Client, alice: User, path: str, method: str
) -> None:
    answer = getattr(as_bob, method)(f"/administration/{path}")
    nothing = getattr(as_bob, method)("/administration/nothing/")
    assert answer.status_code == nothing.status_code == 404
    assert page(answer).texts("p")[-1] == f"There is no page at /administration/{path}."
    assert page(nothing).texts("p")[-1] == "There is no page at /administration/nothing/."
    assert not AuditEvent.objects.exists()


def test_the_first_address_leads_to_the_users(as_alice: Client) -> None:
    assert as_alice.get("/administration/")["Location"] == "/administration/users/"


def test_the_list_shows_who_and_in_which_state(as_alice: Client, bob: User) -> None:
    User.objects.create_user("carol")
    bob.is_active = False
    bob.save()
    read = page(as_alice.get("/administration/users/"))
    cells = read.texts("td")
    rows = [cells[i : i + 3] for i in range(0, len(cells), 5)]
    assert rows == [
        ["alice", "Active", "Administrator"],
        ["bob", "Disabled", "–"],
        ["carol", "No password yet", "–"],
    ]
    assert read.link("bob") == USER


def test_the_list_is_searched_and_paged(as_alice: Client) -> None:
    User.objects.bulk_create(User(username=f"user-{number:03}") for number in range(120))
    first = page(as_alice.get("/administration/users/", {"search": "USER-"}))
    assert first.texts("td")[0] == "user-000"
    assert first.related("next") == "?search=USER-&page=2"
    last = page(as_alice.get("/administration/users/?search=USER-&page=3"))
    assert (last.texts("td")[0], last.related("next")) == ("user-100", None)
    assert "Previous" in last.texts("a")
    empty = as_alice.get("/administration/users/", {"search": "<zzz>"})
    assert "No user is named like “&lt;zzz&gt;”" in empty.content.decode()


def test_a_user_is_made_and_then_given_a_link(as_alice: Client, client: Client) -> None:
    made = as_alice.post("/administration/users/", {"username": "carol"}, follow=True)
    assert made.redirect_chain == [("/administration/users/carol/", 302)]
    assert "No password yet" in made.content.decode()
    shown = as_alice.post("/administration/users/carol/password-link/")
    assert "no-store" in shown["Cache-Control"]
    (code,) = page(shown).texts("code")
    assert client.get(code.partition("8000")[2]).status_code == 200
    assert code not in as_alice.get("/administration/users/carol/").content.decode()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"username": "alice"}, "There is a user named &#x27;alice&#x27; already."),
        ({"username": "a b"}, "Enter a valid username."),
        ({"username": ""}, "This field is required."),
    ],
)
def test_a_name_that_cannot_be_is_told(as_alice: Client, given: dict[str, str], told: str) -> None:
    refused = as_alice.post("/administration/users/", given | {"is_administrator": "on"})
    assert refused.status_code == 422
    assert told in refused.content.decode()
    assert 'name="is_administrator" checked' in refused.content.decode()
    assert User.objects.count() == 1


def test_a_user_is_disabled_and_enabled(as_alice: Client, bob: User, as_bob: Client) -> None:
    done = as_alice.post(f"{USER}active/", {"set": "no"}, follow=True)
    assert "bob is disabled, and no token of theirs works." in done.content.decode()
    assert {"Enable", "Make administrator"} <= set(page(done).texts("button"))
    assert as_bob.get("/").status_code == 302
    done = as_alice.post(f"{USER}active/", {"set": "yes"}, follow=True)
    assert "bob may sign in again." in done.content.decode()
    assert as_bob.get("/").status_code == 200


def test_an_administrator_is_made_and_unmade(as_alice: Client, bob: User, as_bob: Client) -> None:
    as_alice.post(f"{USER}administrator/", {"set": "yes"})
    assert as_bob.get(USER).status_code == 200
    as_alice.post(f"{USER}administrator/", {"set": "no"})
    assert as_bob.get(USER).status_code == 404


@pytest.mark.parametrize(
    ("action", "given"),
    [("active", {"set": "no"}), ("administrator", {"set": "no"}), ("delete", {})],
)
def test_the_last_administrator_stays(as_alice: Client, action: str, given: dict[str, str]) -> None:
    refused = as_alice.post(f"/administration/users/alice/{action}/", given)
    assert refused.status_code == 409
    assert "alice is the last active administrator" in refused.content.decode()


def test_deleting_asks_first_and_names_what_goes(as_alice: Client, bob: User) -> None:
    services.issue_token(user=bob, label="x", by=bob)
    asked = as_alice.get(f"{USER}delete/")
    assert "the password, 1 access token and 0 grants" in page(asked).texts("p")[-1]
    assert User.objects.filter(username="bob").exists()
    done = as_alice.post(f"{USER}delete/", follow=True)
    assert "The user bob is deleted." in done.content.decode()
    assert not User.objects.filter(username="bob").exists()
    assert as_alice.get(USER).status_code == 404


def test_who_made_an_endpoint_is_not_offered_for_deletion(as_alice: Client, bob: User) -> None:
    Endpoint.objects.create(name="churn", created_by=bob, primary_digest="p", secondary_digest="s")
    asked = as_alice.get(f"{USER}delete/")
    assert "bob made churn, which stay" in page(asked).texts("p")[-1]
    assert "Delete user" not in page(asked).texts("button")
    assert as_alice.post(f"{USER}delete/").status_code == 409


def give_in_mlflow(username: str, role: str, **grant: str) -> None:
    made, _ = Role.objects.get_or_create(name=role, workspace="default")
    RolePermission.objects.create(role=made, **grant)
    holder = MlflowUser.objects.get(username=username)
    UserRoleAssignment.objects.get_or_create(user=holder, role=made)


def test_mlflows_grants_are_shown_with_where_they_come_from(
    as_alice: Client, bob: User, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment()
    pk = MlflowUser.objects.get(username="bob").pk
    give_in_mlflow(
        "bob", f"__user_{pk}__",
        resource_type="experiment", resource_pattern=str(experiment.pk), permission="EDIT",
    )  # fmt: skip
    give_in_mlflow(
        "bob", "team",
        resource_type="registered_model", resource_pattern="a/<b>", permission="READ",
    )  # fmt: skip
    give_in_mlflow(
        "alice", "other", resource_type="experiment", resource_pattern="*", permission="MANAGE"
    )
    read = page(as_alice.get(USER))
    cells = read.texts("td")
    assert [cells[i : i + 4] for i in range(0, len(cells), 4)] == [
        ["experiment", str(experiment.pk), "EDIT", "given directly"],
        ["registered_model", "a/<b>", "READ", "role team"],
    ]
    assert read.link(str(experiment.pk)) == f"/experiments/{experiment.pk}/"


def test_a_permission_on_all_endpoints_is_given_and_taken(as_alice: Client, bob: User) -> None:
    assert not may_create(bob, ENDPOINT)
    done = as_alice.post(f"{USER}endpoints/", {"permission": "EDIT"}, follow=True)
    assert "bob has EDIT on all endpoints." in done.content.decode()
    assert may_create(bob, ENDPOINT)
    (chosen,) = [o for o in page(done).all("option") if "selected" in o.attributes]
    assert chosen["value"] == "EDIT"
    as_alice.post(f"{USER}endpoints/", {"permission": "READ"})
    assert (Grant.objects.get().permission, may_create(bob, ENDPOINT)) == ("READ", False)
    done = as_alice.post(f"{USER}endpoints/", {"permission": ""}, follow=True)
    assert "bob has no permission on all endpoints." in done.content.decode()
    assert not Grant.objects.exists()
    assert as_alice.post(f"{USER}endpoints/", {"permission": "ALL"}).status_code == 400


def test_a_lock_out_is_shown_and_ended(as_alice: Client, bob: User) -> None:
    assert "Locked out" not in as_alice.get(USER).content.decode()
    for _ in range(limiter.ALLOWED):
        limiter.guess("bob", "192.0.2.1", lambda: None)
    shown = as_alice.get(USER).content.decode()
    assert "Locked out" in shown
    assert "192.0.2.1" in shown
    done = as_alice.post(f"{USER}lockouts/", follow=True)
    assert "bob may try to sign in again at once." in done.content.decode()
    assert "Locked out" not in as_alice.get(USER).content.decode()


def test_a_link_for_a_disabled_user_is_refused(as_alice: Client, bob: User) -> None:
    bob.is_active = False
    bob.save()
    (button,) = [
        b for b in page(as_alice.get(USER)).all("button") if b.text == "Make a password link"
    ]
    assert "disabled" in button.attributes
    assert as_alice.post(f"{USER}password-link/").status_code == 409
    assert not PasswordLink.objects.exists()


def test_a_user_who_is_not_there_is_not_found(as_alice: Client) -> None:
    for path in ("", *(f"{action}/" for action in ACTIONS)):
        method = as_alice.get if path in ("", "delete/") else as_alice.post
        answer = method(f"/administration/users/nobody/{path}")
        assert answer.status_code == 404
        assert "There is no user named" in answer.content.decode()


def test_djangos_administration_shows_the_record_and_changes_no_user(as_alice: Client) -> None:
    assert as_alice.get("/admin/accounts/auditevent/").status_code == 200
    assert as_alice.get("/admin/accounts/user/").status_code == 404
    assert as_alice.get("/admin/password_change/")["Location"] == "/settings/password/"
