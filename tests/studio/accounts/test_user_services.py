"""What administrators do with users, and what nobody can do to the last of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import Client

from endpoints.models import ENDPOINT, Endpoint
from studio.accounts import administration, services
from studio.accounts.credentials import user_from_token
from studio.accounts.models import AuditEvent, Grant, MlflowUser, PasswordLink, Permission, User
from studio.lib.errors import Conflict, Invalid, NotFound
from studio.lib.notify import ROUTES

GOOD = "a passphrase of some length"


def audited() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("pk").values_list("actor", "action", "target"))


def test_a_user_is_made_and_recorded_without_the_password(alice: User) -> None:
    carol = services.create_user(username="carol", password=GOOD, by=alice)
    assert carol.check_password(GOOD)
    assert (carol.is_active, carol.is_administrator, carol.is_staff) == (True, False, False)
    assert MlflowUser.objects.get(username="carol").is_admin is False
    dave = services.create_user(username="dave", is_administrator=True, by=alice)
    assert (dave.is_administrator, dave.is_staff, dave.has_usable_password()) == (True, True, False)
    assert audited() == [
        ("alice", "user.create", "carol"),
        ("alice", "user.create", "dave: administrator"),
    ]


@pytest.mark.parametrize(
    ("username", "told"),
    [
        ("", "cannot be blank"),
        (" ", "valid username"),
        ("a b", "valid username"),
        ("a/b", "valid username"),
        ("carol\n", "valid username"),
        ("a\0b", "valid username"),
        ("a:b", "valid username"),
        ("\ud800", "valid username"),
        ("x" * 151, "at most 150"),
        (".", "means a folder"),
        ("..", "means a folder"),
    ],
)
def test_a_name_that_cannot_be_is_told(alice: User, username: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        services.create_user(username=username, by=alice)
    assert User.objects.count() == 1


@pytest.mark.parametrize("username", ["alice", "ａlice"])
def test_a_name_that_is_taken_is_told(alice: User, username: str) -> None:
    """However its letters are written."""
    with pytest.raises(Conflict, match="There is a user named 'alice' already"):
        services.create_user(username=username, by=alice)


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("short", "at least 12 characters"),
        ("password1234", "too common"),
        ("carol.carolus", "too similar to the username"),
    ],
)
def test_a_password_that_breaks_the_rules_is_told(alice: User, password: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        services.create_user(username="carol.carolu", password=password, by=alice)
    carol = services.create_user(username="carol.carolu", by=alice)
    with pytest.raises(Invalid, match=told):
        services.set_password(user=carol, password=password, by=alice)


def test_who_is_disabled_is_out_at_the_next_request(alice: User, bob: User, as_bob: Client) -> None:
    token = services.issue_token(user=bob, label="x", by=bob)[1]
    assert user_from_token(token) == bob
    services.set_active(user=bob, is_active=False, by=alice)
    assert as_bob.get("/").status_code == 302
    assert user_from_token(token) is None
    services.set_active(user=bob, is_active=True, by=alice)
    assert user_from_token(token) == bob
    told = [("alice", "user.disable", "bob"), ("alice", "user.enable", "bob")]
    assert audited()[1:] == told
    services.set_active(user=bob, is_active=True, by=alice)
    assert audited()[1:] == told  # nothing was done


def test_an_administrator_is_made_and_unmade(alice: User, bob: User) -> None:
    services.set_administrator(user=bob, is_administrator=True, by=alice)
    bob.refresh_from_db()
    assert (bob.is_superuser, bob.is_staff) == (True, True)
    assert MlflowUser.objects.get(username="bob").is_admin is True
    services.set_administrator(user=bob, is_administrator=False, by=alice)
    bob.refresh_from_db()
    assert (bob.is_superuser, bob.is_staff) == (False, False)
    assert MlflowUser.objects.get(username="bob").is_admin is False
    assert audited() == [
        ("alice", "user.make_administrator", "bob"),
        ("alice", "user.unmake_administrator", "bob"),
    ]


def test_what_was_read_before_is_not_written_back(alice: User, bob: User) -> None:
    """Two administrators, two changes of one user: both stay."""
    stale = User.objects.get(pk=bob.pk)
    services.set_administrator(user=bob, is_administrator=True, by=alice)
    services.set_active(user=stale, is_active=False, by=alice)
    now = User.objects.get(pk=bob.pk)
    assert (now.is_superuser, now.is_active) == (True, False)
    assert MlflowUser.objects.get(username="bob").is_admin is False


END: list[Callable[[User, User], Any]] = [
    lambda user, by: services.set_active(user=user, is_active=False, by=by),
    lambda user, by: services.set_administrator(user=user, is_administrator=False, by=by),
    lambda user, by: services.delete_user(user=user, by=by),
]


@pytest.mark.parametrize("end", END)
def test_the_last_administrator_stays(alice: User, end: Callable[[User, User], Any]) -> None:
    User.objects.create_superuser("disabled", is_active=False)
    with pytest.raises(Conflict, match="alice is the last active administrator: make somebody"):
        end(alice, alice)
    alice.refresh_from_db()
    assert alice.is_administrator
    services.create_user(username="second", is_administrator=True, by=alice)
    end(alice, alice)
    assert not User.objects.filter(username="alice", is_superuser=True, is_active=True).exists()


@pytest.mark.parametrize("end", END)
def test_who_is_no_administrator_ends_though_one_is_left(
    alice: User, bob: User, end: Callable[[User, User], Any]
) -> None:
    end(bob, alice)
    assert not User.objects.filter(username="bob", is_superuser=True).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("end", END)
def test_two_administrators_cannot_end_each_other_at_the_same_time(
    end: Callable[[User, User], Any],
) -> None:
    pair = [User.objects.create_superuser(name) for name in ("alice", "dora")]
    start = threading.Barrier(2)

    def act(user: User, by: User) -> None:
        start.wait(10)
        with suppress(Conflict):
            end(user, by)
        connections.close_all()

    threads = [threading.Thread(target=act, args=who) for who in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert User.objects.filter(is_superuser=True, is_active=True).count() == 1


def test_who_is_deleted_is_gone_with_tokens_grants_and_link(alice: User, bob: User) -> None:
    token = services.issue_token(user=bob, label="x", by=bob)[1]
    services.make_password_link(user=bob, by=alice)
    services.give(
        user=bob, resource_type=ENDPOINT, resource_id="*", permission=Permission.EDIT, by=alice
    )
    services.delete_user(user=bob, by=alice)
    assert user_from_token(token) is None
    assert not User.objects.filter(username="bob").exists()
    assert not MlflowUser.objects.filter(username="bob").exists()
    assert not Grant.objects.exists()
    assert not PasswordLink.objects.exists()
    assert audited()[-1] == ("alice", "user.delete", "bob")
    for action in (END[0], END[1], END[2]):
        with pytest.raises(NotFound, match="'bob' has been deleted"):
            action(User(pk=987654321, username="bob"), alice)


def test_who_made_an_endpoint_is_disabled_not_deleted(alice: User, bob: User) -> None:
    Endpoint.objects.create(name="churn", created_by=bob, primary_digest="p", secondary_digest="s")
    with pytest.raises(Conflict, match="bob made churn, which stay.*Disable bob instead"):
        services.delete_user(user=bob, by=alice)
    assert MlflowUser.objects.filter(username="bob").exists()
    assert audited() == []


def test_a_password_that_is_set_ends_sessions_and_link(
    alice: User, bob: User, as_bob: Client
) -> None:
    services.make_password_link(user=bob, by=alice)
    services.set_password(user=bob, password=GOOD, by=alice)
    assert as_bob.get("/").status_code == 302
    assert not PasswordLink.objects.exists()
    assert User.objects.get(pk=bob.pk).check_password(GOOD)
    assert audited()[-1] == ("alice", "user.set_password", "bob")
    assert GOOD not in str(audited())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_the_gateway_is_told_of_what_it_must_forget() -> None:
    alice, bob = User.objects.create_superuser("alice"), User.objects.create_user("bob")
    steps: list[Callable[[], Any]] = [
        lambda: services.set_active(user=bob, is_active=False, by=alice),
        lambda: services.set_administrator(user=bob, is_administrator=True, by=alice),
        lambda: services.delete_user(user=bob, by=alice),
    ]
    with psycopg.connect(_conninfo(), autocommit=True) as listener:
        listener.execute(f"LISTEN {ROUTES}")
        for step in steps:
            step()
            assert [told.channel for told in listener.notifies(timeout=5, stop_after=1)] == [ROUTES]


def _conninfo() -> str:
    given = {key.lower(): str(value) for key, value in connection.settings_dict.items()}
    return psycopg.conninfo.make_conninfo(
        host=given["host"], user=given["user"], password=given["password"], dbname=given["name"]
    )


def test_the_word_for_endpoints_is_that_of_the_endpoints() -> None:
    assert administration.ENDPOINT == ENDPOINT


def test_the_links_address_is_the_public_one(alice: User, bob: User) -> None:
    made = services.make_password_link(user=bob, by=alice)
    assert re.fullmatch(re.escape(settings.PUBLIC_URL) + r"/password/\?link=[\w-]{43}", made.url), (
        made.url
    )
    secret = made.url.partition("=")[2]
    assert secret not in str(list(PasswordLink.objects.values())) + str(audited())
