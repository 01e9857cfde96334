"""Changing one's own password."""

from __future__ import annotations

import pytest
from django.test import Client

from studio.accounts.models import AuditEvent, PasswordLink, User
from studio.accounts.services import make_password_link
from tests.support.pages import page

OLD = "a long enough password"  # alice's
NEW = "quite another passphrase"
GIVEN = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
COOKIE = "studio_session_8000"


def test_the_page_is_reached_from_the_menu(as_bob: Client) -> None:
    assert page(as_bob.get("/")).link("Password") == "/settings/password/"
    labels = page(as_bob.get("/settings/password/")).texts("label")
    assert labels == ["Your password now", "New password", "The same once more"]


def test_a_change_keeps_this_session_with_a_new_key_and_ends_the_others(
    as_alice: Client, alice: User
) -> None:
    other = Client()
    other.force_login(alice)
    before = as_alice.cookies[COOKIE].value
    make_password_link(user=alice, by=alice)
    done = as_alice.post("/settings/password/", GIVEN, follow=True)
    assert done.redirect_chain == [("/settings/password/", 302)]
    assert "Your password is changed. Your other sessions have ended." in done.content.decode()
    assert as_alice.cookies[COOKIE].value != before
    assert as_alice.get("/").status_code == 200
    assert other.get("/").status_code == 302
    copied = Client()
    copied.cookies[COOKIE] = before
    assert copied.get("/").status_code == 302
    assert User.objects.get(pk=alice.pk).check_password(NEW)
    assert not PasswordLink.objects.exists()
    event = AuditEvent.objects.first()
    assert event
    assert (event.actor, event.action, event.target) == ("alice", "user.set_password", "alice")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"old_password": "wrong"}, "This is not your password."),
        ({"old_password": ""}, "required"),
        ({"new_password1": "short", "new_password2": "short"}, "at least 12 characters"),
        ({"new_password2": "different from it"}, "didn’t match"),
    ],
)
def test_what_cannot_be_is_told(
    as_alice: Client, alice: User, given: dict[str, str], told: str
) -> None:
    refused = as_alice.post("/settings/password/", GIVEN | given)
    assert refused.status_code == 422
    assert told in refused.content.decode()
    assert OLD not in refused.content.decode()
    assert User.objects.get(pk=alice.pk).check_password(OLD)


def test_who_finds_an_open_session_cannot_guess_at_leisure(as_alice: Client, alice: User) -> None:
    for _ in range(10):
        assert (
            as_alice.post("/settings/password/", GIVEN | {"old_password": "x"}).status_code == 422
        )
    refused = as_alice.post("/settings/password/", GIVEN)
    assert (refused.status_code, refused.has_header("Retry-After")) == (429, True)
    assert User.objects.get(pk=alice.pk).check_password(OLD)
