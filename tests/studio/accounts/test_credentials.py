"""Who an Authorization header proves somebody to be."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries, Settings

from studio.accounts import services
from studio.accounts.credentials import user_from_header
from studio.accounts.models import AccessToken, AuditEvent, User

PASSWORD = "a long enough password"  # noqa: S105 - of a user that lives as long as the test


class CountingHasher(MD5PasswordHasher):
    hashes = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.hashes += 1
        return super().encode(password, salt)


def basic(text: str | bytes) -> str:
    given = text.encode() if isinstance(text, str) else text
    return f"Basic {base64.b64encode(given).decode()}"


@pytest.fixture
def token(alice: User) -> str:
    return services.issue_token(user=alice, label="laptop", by=alice)[1]


def test_a_token_is_kept_as_a_digest_and_shown_once(alice: User) -> None:
    row, text = services.issue_token(user=alice, label="laptop", by=alice)
    assert text.startswith(AccessToken.PREFIX)
    assert len(text) > 40
    stored = AccessToken.objects.values().get(pk=row.pk)
    assert not any(text in str(value) for value in stored.values())
    assert text not in str(list(AuditEvent.objects.values()))
    assert text.startswith(row.hint)
    assert len(row.hint) < 13
    assert services.issue_token(user=alice, label="laptop", by=alice)[1] != text


def test_what_is_done_with_tokens_is_recorded(alice: User) -> None:
    row, _ = services.issue_token(user=alice, label="x" * 100, by=alice)
    services.revoke_token(token=row, by=alice)
    told = AuditEvent.objects.values_list("actor", "action", "target")
    assert list(told) == [
        ("alice", "token.revoke", f"alice: {'x' * 100}"),
        ("alice", "token.issue", f"alice: {'x' * 100}"),
    ]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_as_bearer_is_its_user(alice: User, token: str, scheme: str) -> None:
    assert user_from_header(f"{scheme} {token}") == alice
    assert user_from_header(f"{scheme}   {token} ") == alice


def test_a_token_as_password_is_its_user_under_its_name_only(
    alice: User, bob: User, token: str
) -> None:
    assert user_from_header(basic(f"alice:{token}")) == alice
    assert user_from_header(basic(f"bob:{token}")) is None
    assert user_from_header(basic(f"nobody:{token}")) is None
    assert user_from_header(basic(f":{token}")) is None


@pytest.mark.parametrize("password", [PASSWORD, "with:colons::in it", "größe ✓ пароль"])
def test_a_name_and_a_password_are_a_user(alice: User, password: str) -> None:
    alice.set_password(password)
    alice.save()
    assert user_from_header(basic(f"alice:{password}")) == alice
    assert user_from_header(basic(f"alice:{password} ")) is None
    assert user_from_header(basic(f"bob:{password}")) is None
    assert user_from_header(basic(f"Alice:{password}")) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer studio_",
        "Bearer studio_x",
        "Bearer studio_\0",
        "Bearer studio_größe",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ",
        "Basic größe",
        "Basic \ud800",
        "Basic " + "A" * 100_000,
        basic("alice"),
        basic(":"),
        basic("alice:"),
        basic("alice:wrong"),
        basic("alice:studio_"),
        basic("alice:studio_wrong"),
        basic("al\0ice:x"),
        basic("alice:x\0"),
        basic("\0:\0"),
        basic(b"\xff\xfe:\xff"),
        basic("x" * 5000 + ":y"),
        "Digest username=alice",
        "studio_x",
        "\0",
    ],
)
def test_a_header_that_proves_nothing_is_nobody(alice: User, header: str) -> None:
    assert user_from_header(header) is None


def test_a_revoked_token_is_nobody(alice: User, token: str) -> None:
    services.revoke_token(token=AccessToken.objects.get(), by=alice)
    assert user_from_header(f"Bearer {token}") is None
    assert user_from_header(basic(f"alice:{token}")) is None


def test_an_inactive_user_is_nobody(alice: User, token: str) -> None:
    assert user_from_header(basic(f"alice:{PASSWORD}")) == alice
    alice.is_active = False
    alice.save()
    assert user_from_header(f"Bearer {token}") is None
    assert user_from_header(basic(f"alice:{token}")) is None
    assert user_from_header(basic(f"alice:{PASSWORD}")) is None


def test_the_use_of_a_token_is_noted_to_the_minute(
    alice: User, token: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert AccessToken.objects.get().last_used_at is None
    user_from_header(f"Bearer {token}")
    first = AccessToken.objects.get().last_used_at
    assert first is not None
    with django_assert_num_queries(1):  # used again at once: nothing is written
        user_from_header(f"Bearer {token}")
    AccessToken.objects.update(last_used_at=now() - timedelta(minutes=2))
    user_from_header(f"Bearer {token}")
    again = AccessToken.objects.get().last_used_at
    assert again is not None
    assert again >= first


@pytest.fixture
def count_hashes(settings: Settings) -> Callable[[str], int]:
    """How often a password is hashed to answer this header."""
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]

    def count(header: str) -> int:
        before = CountingHasher.hashes
        user_from_header(header)
        return CountingHasher.hashes - before

    return count


def test_a_right_password_costs_its_hash_once(
    alice: User, count_hashes: Callable[[str], int]
) -> None:
    assert [count_hashes(basic(f"alice:{PASSWORD}")) for _ in range(3)] == [1, 0, 0]
    assert [count_hashes(basic("alice:wrong")) for _ in range(3)] == [1, 1, 1]


def test_a_name_that_is_not_there_costs_as_much_as_a_wrong_password(
    alice: User, bob: User, count_hashes: Callable[[str], int]
) -> None:
    """Else the time of the answer would tell who has an account."""
    bob.is_active = False
    bob.save()
    assert count_hashes(basic("alice:wrong")) == 1
    assert count_hashes(basic("nobody:wrong")) == 1
    assert count_hashes(basic("bob:wrong")) == 1


def test_a_changed_password_counts_at_once(alice: User) -> None:
    assert user_from_header(basic(f"alice:{PASSWORD}")) == alice
    alice.set_password("quite another password")
    alice.save()
    assert user_from_header(basic(f"alice:{PASSWORD}")) is None
    assert user_from_header(basic("alice:quite another password")) == alice


def test_a_header_goes_before_a_session(as_bob: Client, alice: User, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert "Welcome, bob" in as_bob.get("/").content.decode()
    assert "Welcome, alice" in as_bob.get("/", headers=headers).content.decode()
    wrong = as_bob.get("/settings/tokens/", headers={"Authorization": "Bearer studio_x"})
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer studio_x", "Basic größe", basic("alice:wrong"), "Nonsense"]
)
@pytest.mark.parametrize("path", ["/", "/api/v1/tokens", "/api/2.0/mlflow/runs/get", "/livez"])
def test_wrong_credentials_are_401_everywhere(
    client: Client, alice: User, path: str, header: str
) -> None:
    response = client.get(path, headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Basic realm="Studio"'
    told = response.json()
    assert "not valid" in (told["error"]["message"] if "v1" in path else told["message"])
