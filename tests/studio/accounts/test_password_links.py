"""A password that was forgotten is set with a link that works once, for an hour."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import Client
from django.utils.timezone import now

from studio.accounts import limiter, services
from studio.accounts.models import AuditEvent, PasswordLink, User
from studio.lib.errors import NotFound
from tests.support.browser import browser, tab
from tests.support.live import Studio
from tests.support.pages import page
from tests.support.processes import until

NEW = "quite another passphrase"
BOTH = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def secret(alice: User, bob: User) -> str:
    return secret_of(services.make_password_link(user=bob, by=alice).url)


def secret_of(url: str) -> str:
    return url.partition("?link=")[2]


def open_link(client: Client, secret: str) -> Any:
    return client.get("/password/", {"link": secret})


def use(client: Client, secret: str, **given: str) -> Any:
    return client.post("/password/", {"link": secret} | BOTH | given)


def test_whoever_holds_the_link_sets_the_password(
    client: Client, secret: str, bob: User, as_bob: Client
) -> None:
    for _ in range(2):  # looking does not use it up
        shown = open_link(client, secret)
        assert shown.status_code == 200
        assert page(shown).texts("b") == ["bob"]
    assert as_bob.get("/").status_code == 200
    done = use(client, secret)
    assert (done.status_code, done["Location"]) == (302, "/login/")
    assert "Your password is set: sign in with it." in client.get("/login/").content.decode()
    assert as_bob.get("/").status_code == 302  # every session has ended
    assert client.login(username="bob", password=NEW)
    told = AuditEvent.objects.order_by("pk").values_list("actor", "action", "target")
    assert list(told) == [
        ("alice", "user.password_link", "bob"), ("bob", "user.set_password", "bob"),
    ]  # fmt: skip


def never(alice: User, bob: User, secret: str) -> str:
    return "x" * 43


def nothing(alice: User, bob: User, secret: str) -> str:
    return ""


def used(alice: User, bob: User, secret: str) -> str:
    services.use_password_link(secret=secret, password=NEW)
    return secret


def expired(alice: User, bob: User, secret: str) -> str:
    PasswordLink.objects.update(expires_at=now() - timedelta(seconds=1))
    return secret


def superseded(alice: User, bob: User, secret: str) -> str:
    services.make_password_link(user=bob, by=alice)
    return secret


def password_set_meanwhile(alice: User, bob: User, secret: str) -> str:
    services.set_password(user=bob, password=NEW, by=alice)
    return secret


def disabled(alice: User, bob: User, secret: str) -> str:
    services.set_active(user=bob, is_active=False, by=alice)
    return secret


def deleted(alice: User, bob: User, secret: str) -> str:
    services.delete_user(user=bob, by=alice)
    return secret


def of_another_kind(alice: User, bob: User, secret: str) -> str:
    return services.issue_token(user=bob, label="x", by=bob)[1]


def the_stored_digest(alice: User, bob: User, secret: str) -> str:
    return PasswordLink.objects.get().digest


@pytest.mark.parametrize(
    "end",
    [never, nothing, used, expired, superseded, password_set_meanwhile, disabled, deleted,
     of_another_kind, the_stored_digest],
)  # fmt: skip
def test_every_link_that_is_not_valid_is_answered_the_same(
    client: Client, alice: User, bob: User, secret: str, end: Callable[[User, User, str], str]
) -> None:
    given = end(alice, bob, secret)
    before = set(User.objects.values_list("username", "password"))
    for answer in (open_link(client, given), use(client, given)):
        assert answer.status_code == 404
        assert page(answer).texts("p") == [services.LINK_ENDED]
        assert given not in answer.content.decode() or not given
    assert set(User.objects.values_list("username", "password")) == before


def test_a_link_lasts_an_hour(client: Client, secret: str) -> None:
    left = PasswordLink.objects.get().expires_at - now()
    assert timedelta(minutes=59, seconds=30) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"new_password1": "short", "new_password2": "short"}, "at least 12 characters"),
        ({"new_password2": "something else entirely"}, "didn’t match"),
        ({"new_password1": "", "new_password2": ""}, "required"),
    ],
)
def test_a_password_that_breaks_the_rules_leaves_the_link(
    client: Client, secret: str, given: dict[str, str], told: str
) -> None:
    refused = use(client, secret, **given)
    assert refused.status_code == 422
    assert told in refused.content.decode()
    (field,) = [f for f in page(refused).all("input") if f["name"] == "link"]
    assert field["value"] == secret
    assert use(client, secret).status_code == 302


def test_no_answer_is_kept_or_told_elsewhere(client: Client, secret: str) -> None:
    for answer in (open_link(client, secret), use(client, secret, new_password1="x"),
                   use(client, secret), open_link(client, secret)):  # fmt: skip
        assert "no-store" in answer["Cache-Control"]
        assert answer["Referrer-Policy"] == "strict-origin"


def test_the_log_does_not_hold_the_secret(
    client: Client, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Django logs the path of every answer from 400 on, and of every forged form."""
    caplog.set_level(logging.DEBUG)
    use(client, secret, new_password1="x")
    Client(enforce_csrf_checks=True).post("/password/", {"link": secret})
    open_link(client, secret + "x")
    assert "/password/" in caplog.text
    assert secret not in caplog.text
    assert NEW not in caplog.text


def test_who_tries_links_is_stopped(client: Client, secret: str) -> None:
    for number in range(limiter.ALLOWED):
        assert open_link(client, f"guess-{number}").status_code == 404
    for refused in (open_link(client, secret), use(client, secret)):
        assert refused.status_code == 429
        assert int(refused["Retry-After"]) > 880
        assert page(refused).texts("p") == [limiter.TOLD]
    elsewhere = Client(REMOTE_ADDR="192.0.2.9")
    assert open_link(elsewhere, secret).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_a_link_is_used_once_however_many_use_it_at_the_same_time() -> None:
    bob = User.objects.create_user("bob")
    secret = secret_of(services.make_password_link(user=bob, by=None).url)
    done = []

    def act(number: int) -> None:
        with suppress(NotFound):
            services.use_password_link(secret=secret, password=f"passphrase number {number}")
            done.append(number)
        connections.close_all()

    threads = [threading.Thread(target=act, args=[number]) for number in range(3)]
    with transaction.atomic():
        User.objects.select_for_update().get()  # until all of them have found the link valid
        for thread in threads:
            thread.start()
        until(lambda: waiting() == 3, "three who wait for the user's row")
    for thread in threads:
        thread.join(20)
    (winner,) = done
    assert User.objects.get().check_password(f"passphrase number {winner}")


def waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


def test_the_command_prints_a_link_and_nothing_else(alice: User, client: Client) -> None:
    told = StringIO()
    call_command("password-link", "alice", stdout=told)
    assert told.getvalue().count("\n") == 1
    assert open_link(client, secret_of(told.getvalue().strip())).status_code == 200
    event = AuditEvent.objects.get()
    assert (event.actor, event.action) == ("the command line", "user.password_link")
    with pytest.raises(CommandError, match="There is no user named 'nobody'"):
        call_command("password-link", "nobody")
    User.objects.filter(username="alice").update(is_active=False)
    with pytest.raises(CommandError, match="enable alice first"):
        call_command("password-link", "alice")


def test_a_forgotten_password_is_set_in_a_browser(live: Studio, token: str) -> None:
    """No request that the page makes holds the secret, and the form passes the check against forgery."""
    with live.client(token) as admin:
        admin.post("/api/v1/users", json={"username": "forgetful"}).raise_for_status()
    url = live.manage("password-link", "forgetful")
    assert url.startswith(f"{live.url}/password/?link=")
    with browser() as chromium, tab(chromium, width=390) as opened:
        referers: list[str] = []
        opened.page.on(
            "request", lambda request: referers.append(request.all_headers().get("referer", ""))
        )
        opened.page.goto(url)
        opened.page.get_by_label("New password", exact=True).fill(NEW)
        opened.page.get_by_label("The same once more").fill(NEW)
        opened.page.get_by_role("button", name="Set password").click()
        opened.page.wait_for_url(f"{live.url}/login/")
        opened.page.get_by_label("Username").fill("forgetful")
        opened.page.get_by_label("Password").fill(NEW)
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.wait_for_url(f"{live.url}/")
        assert opened.complaints == []
        assert any(referers)
        assert not [told for told in referers if secret_of(url) in told]
    with live.client(token) as admin:
        admin.delete("/api/v1/users/forgetful").raise_for_status()
    assert secret_of(url) not in live.log()
