"""Who guesses passwords is stopped, and learns nothing by trying."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.db import connections
from django.test import Client, RequestFactory
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries, Settings

from studio.accounts import limiter, services
from studio.accounts.credentials import user_from_header
from studio.accounts.models import Attempts, AuditEvent, User
from studio.lib.errors import TooManyAttempts
from tests.support.pages import page

PASSWORD = "a long enough password"  # alice's
Try = Callable[..., Any]


class CountingHasher(MD5PasswordHasher):
    hashes = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.hashes += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def by_page(username: str, password: str, address: str = "192.0.2.1") -> Any:
    return Client(REMOTE_ADDR=address).post("/login/", {"username": username, "password": password})


def by_administration(username: str, password: str, address: str = "192.0.2.1") -> Any:
    return Client(REMOTE_ADDR=address).post(
        "/admin/login/", {"username": username, "password": password}
    )


def by_basic(username: str, password: str, address: str = "192.0.2.1", **headers: str) -> Any:
    text = base64.b64encode(f"{username}:{password}".encode()).decode()
    headers |= {"Authorization": f"Basic {text}"}
    return Client(REMOTE_ADDR=address).get("/api/v1/tokens", headers=headers)


WAYS = [by_page, by_administration, by_basic]
IN = {by_page: 302, by_administration: 302, by_basic: 200}
OUT = {by_page: 200, by_administration: 200, by_basic: 401}


@pytest.mark.parametrize("way", WAYS)
def test_ten_wrong_passwords_lock_out_a_right_one_too(alice: User, way: Try) -> None:
    for _ in range(10):
        assert way("alice", "wrong").status_code == OUT[way]
    for password in ("wrong", PASSWORD):
        refused = way("alice", password)
        assert refused.status_code == 429
        assert 880 <= int(refused["Retry-After"]) <= 900
    assert way("alice", PASSWORD, address="192.0.2.2").status_code == IN[way]


def test_every_way_in_counts_with_the_others(alice: User) -> None:
    for way in (*WAYS, *WAYS, *WAYS, by_page):
        way("alice", "wrong")
    assert [way("alice", PASSWORD).status_code for way in WAYS] == [429, 429, 429]


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_is_not_there_or_disabled_is_answered_the_same(
    alice: User, bob: User, way: Try
) -> None:
    """Word for word, at every attempt."""
    bob.is_active = False
    bob.save()
    right = {"bob": "another long password"}
    for number in range(12):
        told = []
        for name in ("alice", "nobody", "bob"):
            answer = way(name, right.get(name, "wrong"))
            text = answer.content.decode().replace(name, "NAME")
            read = page(answer)
            for field in read.all("input"):
                if field.attributes.get("name") == "csrfmiddlewaretoken":
                    text = text.replace(field["value"], "CSRF")
            for body in read.all("body"):
                text = text.replace(body.attributes.get("hx-headers", "-"), "CSRF")
            told.append((answer.status_code, text))
        assert told[0] == told[1] == told[2], number
        assert told[0][0] == (429 if number >= 10 else OUT[way])


@pytest.mark.parametrize("way", WAYS)
def test_each_failure_costs_one_hash(alice: User, bob: User, settings: Settings, way: Try) -> None:
    """Else the time of the answer would tell who has an account. Who is locked out costs none."""
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    unset = User.objects.create_user("unset")
    bob.is_active = False
    bob.save()
    assert not unset.has_usable_password()

    def cost(name: str, password: str) -> int:
        before = CountingHasher.hashes
        way(name, password)
        return CountingHasher.hashes - before

    right = {"bob": "another long password"}
    for name in ("alice", "bob", "nobody", "unset"):
        costs = [cost(name, right.get(name, "wrong")) for _ in range(12)]
        assert costs == [1] * 10 + [0, 0], name


def test_a_success_forgets_the_failures(alice: User) -> None:
    for _ in range(3):
        for _ in range(9):
            assert by_page("alice", "wrong").status_code == 200
        assert by_page("alice", PASSWORD).status_code == 302
    assert not Attempts.objects.exists()


def test_another_name_and_another_address_are_not_locked_out(alice: User, bob: User) -> None:
    for _ in range(11):
        by_page("alice", "wrong")
    assert by_page("bob", "another long password").status_code == 302
    assert by_basic("alice", PASSWORD, "198.51.100.7").status_code == 200


def test_a_token_works_while_its_user_is_locked_out(alice: User) -> None:
    _, token = services.issue_token(user=alice, label="x", by=alice)
    for _ in range(11):
        by_basic("alice", "wrong")
    assert by_basic("alice", PASSWORD).status_code == 429
    assert by_basic("alice", token).status_code == 200
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client(REMOTE_ADDR="192.0.2.1").get("/", headers=bearer).status_code == 200


def test_a_wrong_token_counts_for_nothing(alice: User) -> None:
    for _ in range(12):
        assert by_basic("alice", "studio_wrong").status_code == 401
    assert not Attempts.objects.exists()


def test_the_lock_ends_by_itself(alice: User) -> None:
    for _ in range(11):
        by_page("alice", "wrong")
    Attempts.objects.update(locked_until=now() - timedelta(seconds=1))
    assert by_page("alice", "wrong").status_code == 200
    assert Attempts.objects.get().count == 1
    assert by_page("alice", PASSWORD).status_code == 302


def test_failures_long_ago_do_not_count(alice: User) -> None:
    for _ in range(9):
        by_page("alice", "wrong")
    Attempts.objects.update(since=now() - timedelta(minutes=16))
    by_page("alice", "wrong")
    assert by_page("alice", PASSWORD).status_code == 302


def test_a_remembered_password_does_not_pass_a_lock(alice: User) -> None:
    assert by_basic("alice", PASSWORD).status_code == 200
    for _ in range(10):
        by_basic("alice", "wrong")
    assert by_basic("alice", PASSWORD).status_code == 429


def test_a_remembered_password_costs_one_statement(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    header = f"Basic {base64.b64encode(f'alice:{PASSWORD}'.encode()).decode()}"
    assert user_from_header(header) == alice
    with django_assert_num_queries(1):
        assert user_from_header(header) == alice


@pytest.mark.parametrize("way", WAYS)
def test_no_header_makes_it_another_address(alice: User, way: Try) -> None:
    for number in range(11):
        claimed = f"203.0.113.{number}"
        forged = {"X-Forwarded-For": claimed, "X-Real-IP": claimed, "Forwarded": f"for={claimed}"}
        client = Client(REMOTE_ADDR="192.0.2.1", headers=forged)
        answer = client.post("/login/", {"username": "alice", "password": "wrong"})
    assert answer.status_code == 429
    assert way("alice", PASSWORD).status_code == 429


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_the_address_is_the_connections(given: str, counted: str) -> None:
    assert limiter.address_of(RequestFactory(REMOTE_ADDR=given).get("/")) == counted
    assert limiter.address_of(None) == ""


def test_the_log_and_the_record_tell_of_it_without_a_password(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("alice", "eve\nINFO forged"):
        for number in range(12):
            by_basic(name, f"guess-{number}")
    (first, second) = [r.getMessage() for r in caplog.records if "locked out" in r.getMessage()]
    assert first == "locked out subject='alice' address=192.0.2.1"
    refused = "refused subject='alice' address=192.0.2.1 failures=1"
    assert refused in [record.getMessage() for record in caplog.records]
    assert "\n" not in second
    told = AuditEvent.objects.filter(action="lock_out").order_by("pk")
    assert told.values_list("target", flat=True)[0] == "alice from 192.0.2.1"
    assert "guess-" not in caplog.text + str(list(AuditEvent.objects.values()))
    assert "guess-" not in str(list(Attempts.objects.values()))


def test_the_page_says_what_to_do(alice: User) -> None:
    for _ in range(10):
        by_page("alice", "wrong")
    refused = by_page("alice", "wrong")
    read = page(refused)
    (told,) = [p.text for p in read.all("p") if p.attributes.get("role") == "alert"]
    assert told == limiter.TOLD
    assert [f["name"] for f in read.all("input") if f["name"] == "username"]
    assert read.texts("button") == ["Sign in"]
    error = by_basic("alice", "wrong").json()["error"]
    assert (error["code"], error["message"]) == ("request_limit_exceeded", limiter.TOLD)


def test_mlflows_routes_say_it_in_mlflows_words(alice: User) -> None:
    for _ in range(10):
        by_basic("alice", "wrong")
    text = base64.b64encode(b"alice:wrong").decode()
    client = Client(REMOTE_ADDR="192.0.2.1", headers={"Authorization": f"Basic {text}"})
    refused = client.post("/api/2.0/mlflow/runs/create")
    assert (refused.status_code, refused.json()) == (
        429,
        {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": limiter.TOLD},
    )


def test_an_administrator_ends_a_lock_out(alice: User, bob: User) -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(10):
            by_page("bob", "wrong", address)
    services.clear_lockouts(user=bob, by=alice)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert by_page("bob", "another long password", address).status_code == 302
    assert AuditEvent.objects.filter(action="user.clear_lockouts", target="bob").count() == 1


def test_what_counts_no_more_is_forgotten(db: None) -> None:
    old = now() - timedelta(hours=1)
    Attempts.objects.bulk_create(
        Attempts(subject=str(number), address="x", count=1, since=old) for number in range(150)
    )
    limiter.guess("carol", "x", lambda: None)
    assert Attempts.objects.count() == 51


@pytest.mark.django_db(transaction=True)
def test_guesses_at_the_same_time_do_not_overrun_the_limit() -> None:
    asked = []
    start = threading.Barrier(12)

    def wrong() -> None:
        asked.append(1)

    def guess() -> None:
        start.wait(10)
        for _ in range(3):
            try:
                limiter.guess("alice", "192.0.2.1", wrong)
            except TooManyAttempts:
                break
        connections.close_all()

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(asked) == limiter.ALLOWED


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_a_right_password_sent_many_times_at_once_is_hashed_once(settings: Settings) -> None:
    """As a client with many threads sends it; and none of them counts as a guess."""
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    User.objects.create_superuser("alice", password=PASSWORD)
    header = f"Basic {base64.b64encode(f'alice:{PASSWORD}'.encode()).decode()}"
    before, start, found = CountingHasher.hashes, threading.Barrier(15), []

    def ask() -> None:
        start.wait(10)
        found.append(user_from_header(header))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [user.username for user in found if user] == ["alice"] * 15
    assert CountingHasher.hashes - before == 1
