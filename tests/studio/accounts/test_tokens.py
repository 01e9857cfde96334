"""One's own access tokens: the page, the API, and the command."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from studio.accounts import services
from studio.accounts.credentials import user_from_header
from studio.accounts.models import AccessToken, User
from tests.support.pages import page

TOKEN = re.compile(r"studio_[\w-]{40,}")
JSON: dict[str, Any] = {
    "content_type": "application/json",
    "headers": {"Sec-Fetch-Site": "same-origin"},
}


@pytest.fixture
def mine(alice: User) -> AccessToken:
    return services.issue_token(user=alice, label="laptop", by=alice)[0]


@pytest.fixture
def hers(bob: User) -> AccessToken:
    return services.issue_token(user=bob, label="secret of bob", by=bob)[0]


def test_a_new_token_is_shown_once(as_alice: Client, alice: User) -> None:
    response = as_alice.post("/settings/tokens/", {"label": "laptop"})
    assert response.status_code == 200
    (text,) = set(TOKEN.findall(response.content.decode()))
    assert user_from_header(f"Bearer {text}") == alice
    assert "no-store" in response["Cache-Control"]
    again = as_alice.get("/settings/tokens/")
    assert text not in again.content.decode()
    assert page(again).texts("td")[:2] == ["laptop", f"{text[:11]}…"]


def test_a_label_is_text(as_alice: Client) -> None:
    response = as_alice.post("/settings/tokens/", {"label": "<b>x</b>"})
    assert "&lt;b&gt;x&lt;/b&gt;" in response.content.decode()
    revoked = as_alice.post(f"/settings/tokens/{AccessToken.objects.get().pk}/revoke/", follow=True)
    assert "“&lt;b&gt;x&lt;/b&gt;” is revoked" in revoked.content.decode()


@pytest.mark.parametrize("label", ["", " ", "x" * 101, "a\0b"])
def test_a_label_that_cannot_be_right_is_told(as_alice: Client, label: str) -> None:
    response = as_alice.post("/settings/tokens/", {"label": label})
    assert response.status_code == 422
    assert [e.text for e in page(response).all("span") if e.attributes.get("role") == "alert"]
    assert not AccessToken.objects.exists()


def test_one_sees_only_ones_own_tokens(
    as_alice: Client, mine: AccessToken, hers: AccessToken
) -> None:
    content = as_alice.get("/settings/tokens/").content.decode()
    assert "laptop" in content
    assert "secret of bob" not in content


def test_one_revokes_only_ones_own(as_alice: Client, mine: AccessToken, hers: AccessToken) -> None:
    assert as_alice.post(f"/settings/tokens/{hers.pk}/revoke/").status_code == 404
    assert as_alice.get(f"/settings/tokens/{mine.pk}/revoke/").status_code == 405
    assert AccessToken.objects.filter(revoked_at=None).count() == 2
    done = as_alice.post(f"/settings/tokens/{mine.pk}/revoke/", follow=True)
    assert "“laptop” is revoked" in done.content.decode()
    assert "laptop" not in page(as_alice.get("/settings/tokens/")).texts("td")
    assert as_alice.post(f"/settings/tokens/{mine.pk}/revoke/").status_code == 404
    assert AccessToken.objects.get(pk=hers.pk).revoked_at is None


def test_a_stranger_has_tokens_too(as_bob: Client, hers: AccessToken) -> None:
    assert "secret of bob" in as_bob.get("/settings/tokens/").content.decode()
    assert as_bob.get("/api/v1/tokens").json()["items"][0]["label"] == "secret of bob"


def test_the_api_lists_ones_own_tokens(
    as_alice: Client, mine: AccessToken, hers: AccessToken
) -> None:
    answer = as_alice.get("/api/v1/tokens")
    assert answer.json() == {
        "items": [
            {
                "id": mine.pk,
                "label": "laptop",
                "hint": mine.hint,
                "created_at": mine.created_at.isoformat().replace("+00:00", "Z"),
                "last_used_at": None,
            }
        ],
        "next": None,
    }


def test_the_api_lists_a_hundred_at_a_time(as_alice: Client, alice: User) -> None:
    AccessToken.objects.bulk_create(
        AccessToken(user=alice, label=str(n), digest=str(n), hint="x") for n in range(150)
    )
    first = as_alice.get("/api/v1/tokens").json()
    second = as_alice.get(first["next"]).json()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (100, 50, None)
    labels = {item["label"] for answer in (first, second) for item in answer["items"]}
    assert len(labels) == 150


@pytest.mark.parametrize("page_number", ["0", "-1", "x", "1.5", "9" * 20, "9" * 5000, ""])
def test_a_page_that_cannot_be_is_told(as_alice: Client, page_number: str) -> None:
    answer = as_alice.get("/api/v1/tokens", {"page": page_number})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid"
    assert "page=" in answer.json()["error"]["message"]


def test_the_api_issues_a_token_and_tells_it_once(as_alice: Client, alice: User) -> None:
    answer = as_alice.post("/api/v1/tokens", {"label": "ci"}, **JSON)
    assert answer.status_code == 201
    issued = answer.json()
    assert user_from_header(f"Bearer {issued['token']}") == alice
    assert set(issued) == {"id", "label", "hint", "created_at", "last_used_at", "token"}
    assert "token" not in as_alice.get("/api/v1/tokens").json()["items"][0]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "label: This field is required."),
        ({"label": ""}, "label: This field may not be blank."),
        ({"label": None}, "label: This field may not be null."),
        ({"label": "x" * 101}, "label: Ensure this field has no more than 100 characters."),
        ({"label": ["x"]}, "label: Not a valid string."),
        ({"label": "a\0b"}, "label: Null characters are not allowed."),
        ([], "Invalid data. Expected a dictionary"),
        ("text", "Invalid data. Expected a dictionary"),
    ],
)
def test_a_body_that_cannot_be_right_is_told_by_field(
    as_alice: Client, body: Any, told: str
) -> None:
    answer = as_alice.post("/api/v1/tokens", body if body != "text" else '"text"', **JSON)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["step"], error["detail"]) == ("invalid", "", "")
    assert told in error["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("{", "application/json", 400, "parse_error"),
        (b"\xff", "application/json", 400, "parse_error"),
        ("label=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("x", "text/plain", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_is_no_json_is_told(
    as_alice: Client, body: str | bytes, content_type: str, status: int, code: str
) -> None:
    answer = as_alice.post("/api/v1/tokens", body, **JSON | {"content_type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code


def test_a_method_that_is_not_there_is_told_with_those_that_are(as_alice: Client) -> None:
    answer = as_alice.delete("/api/v1/tokens", **JSON)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert {"GET", "POST"} <= set(answer["Allow"].split(", "))


def test_the_api_revokes_only_ones_own(
    as_alice: Client, mine: AccessToken, hers: AccessToken
) -> None:
    for pk in (hers.pk, 987654321):
        answer = as_alice.delete(f"/api/v1/tokens/{pk}", **JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    done = as_alice.delete(f"/api/v1/tokens/{mine.pk}", **JSON)
    assert (done.status_code, done.content) == (204, b"")
    assert as_alice.delete(f"/api/v1/tokens/{mine.pk}", **JSON).status_code == 404
    assert AccessToken.objects.get(pk=hers.pk).revoked_at is None


def test_an_id_that_no_row_can_have_is_not_found(as_alice: Client) -> None:
    assert as_alice.delete(f"/api/v1/tokens/{10**30}", **JSON).status_code == 404
    assert as_alice.post(f"/settings/tokens/{10**30}/revoke/").status_code == 404


@pytest.mark.parametrize("many", [1, 60])
def test_the_number_of_queries_does_not_grow(
    as_alice: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries, many: int
) -> None:
    for number in range(many):
        services.issue_token(user=alice, label=str(number), by=alice)
    with django_assert_num_queries(3):  # session, user, tokens
        as_alice.get("/settings/tokens/")
    with django_assert_num_queries(3):
        as_alice.get("/api/v1/tokens")


def command(**given: str) -> str:
    told = StringIO()
    call_command("token", stdout=told, **given)
    return told.getvalue()


def test_the_command_prints_a_token_and_nothing_else(alice: User) -> None:
    told = command(user="alice", name="deploy")
    assert TOKEN.fullmatch(told.strip())
    assert told.count("\n") == 1
    assert user_from_header(f"Bearer {told.strip()}") == alice
    assert AccessToken.objects.get().label == "deploy"


@pytest.mark.parametrize(
    ("user", "name", "told"),
    [
        ("nobody", "x", "There is no user named 'nobody'."),
        ("alice", " ", "1 to 100 characters"),
        ("alice", "x" * 101, "1 to 100 characters"),
    ],
)
def test_the_command_tells_what_is_wrong(alice: User, user: str, name: str, told: str) -> None:
    with pytest.raises(CommandError, match=re.escape(told)):
        command(user=user, name=name)
    assert not AccessToken.objects.exists()
