"""Who is let in: pages, programs, sessions, and requests that somebody else's page has made."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from studio.accounts import services
from studio.accounts.models import AccessToken, User
from tests.support.pages import page

PASSWORD = "a long enough password"  # noqa: S105 - of a user that lives as long as the test
SAME = {"Sec-Fetch-Site": "same-origin"}
NOTHING = "/api/v1/tokens/987654321"  # answers 404 or 405 to who is let in


def sign_in(client: Client, **given: str) -> Any:
    return client.post("/login/", {"username": "alice", "password": PASSWORD} | given)


def test_a_right_password_signs_in(client: Client, alice: User) -> None:
    assert client.get("/login/").status_code == 200
    response = sign_in(client)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/experiments/").status_code == 200


@pytest.mark.parametrize(
    "given",
    [{"password": "wrong"}, {"username": "nobody"}, {"username": "ALICE"}, {"password": "\0"}],
)
def test_a_wrong_password_is_told_without_saying_what_is_wrong(
    client: Client, alice: User, given: dict[str, str]
) -> None:
    response = sign_in(client, **given)
    assert response.status_code == 200
    told = "The user name or the password is not right. Both mind capital letters."
    if "\0" not in "".join(given.values()):
        assert page(response).texts("p") == [told]
    assert client.get("/experiments/").status_code == 302
    assert PASSWORD not in response.content.decode()


def test_an_inactive_user_is_told_the_same(client: Client, alice: User) -> None:
    alice.is_active = False
    alice.save()
    assert "is not right" in sign_in(client).content.decode()


@pytest.mark.parametrize("path", ["/models/", "/experiments/?search=a%26b&page=2", "/runs/x/"])
def test_one_returns_to_where_one_was_going(client: Client, alice: User, path: str) -> None:
    door = client.get(path)
    assert door.status_code == 302
    read = page(client.get(door["Location"]))
    (asked,) = [field["value"] for field in read.all("input") if field["name"] == "next"]
    assert sign_in(client, next=asked)["Location"] == path


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)",
     "http:evil.example", "https:evil.example", "/\\/evil.example", "///evil.example", "data:text/html,x", "\thttps://evil.example", "https://testserver.evil.example/"],
)  # fmt: skip
def test_one_is_not_sent_to_another_site(client: Client, alice: User, elsewhere: str) -> None:
    assert sign_in(client, next=elsewhere)["Location"] == "/"
    client.logout()
    door = client.get("/login/", {"next": elsewhere})
    assert sign_in(client, next=elsewhere)["Location"] == "/"
    assert door.status_code == 200


def test_who_is_signed_in_passes_the_door(as_alice: Client) -> None:
    assert as_alice.get("/login/")["Location"] == "/"


def test_signing_out_is_a_post(as_alice: Client) -> None:
    assert as_alice.get("/logout/").status_code == 405
    assert as_alice.get("/experiments/").status_code == 200
    assert as_alice.post("/logout/")["Location"] == "/login/"
    assert as_alice.get("/experiments/").status_code == 302


def test_a_session_gets_a_new_key_at_sign_in(client: Client, alice: User) -> None:
    """A key that somebody has planted in the browser before is worth nothing afterwards."""
    planted = client.session
    planted["was"] = "here"
    planted.save()
    client.cookies["studio_session_8000"] = planted.session_key or ""
    sign_in(client)
    assert client.cookies["studio_session_8000"].value != planted.session_key
    assert not Session.objects.filter(session_key=planted.session_key).exists()


def test_signing_out_ends_the_session_for_whoever_has_copied_its_key(as_alice: Client) -> None:
    copy = Client()
    copy.cookies["studio_session_8000"] = as_alice.cookies["studio_session_8000"].value
    assert copy.get("/experiments/").status_code == 200
    as_alice.post("/logout/")
    assert copy.get("/experiments/").status_code == 302
    assert not Session.objects.exists()


def test_a_changed_password_ends_the_sessions(as_alice: Client, alice: User) -> None:
    alice.set_password("quite another password")
    alice.save()
    assert as_alice.get("/experiments/").status_code == 302


@pytest.mark.parametrize("path", ["/", "/experiments/", "/settings/tokens/", "/find/?text=x"])
def test_pages_send_strangers_to_the_door(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].split("?")[0] == "/login/"


def test_a_fragment_sends_the_whole_page_to_the_door(client: Client, db: None) -> None:
    response = client.get("/find/", headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Redirect"]) == (401, "/login/")


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch"])
@pytest.mark.parametrize(
    "path",
    ["/api/2.0/mlflow/runs/search", "/ajax-api/2.0/mlflow/runs/search", "/graphql", "/v1/traces",
     "/api/2.0/mlflow-artifacts/artifacts/x", "/get-artifact", "/version", "/gateway/x"],
)  # fmt: skip
def test_programs_get_401_in_the_words_of_mlflow(
    client: Client, db: None, path: str, method: str
) -> None:
    response = getattr(client, method)(path)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/json"
    assert response["WWW-Authenticate"] == 'Basic realm="Studio"'
    assert response.json()["error_code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "path", ["/api/v1/tokens", "/api/v1/tokens/1", "/api/v1/endpoints", "/api/v1/schema"]
)
def test_programs_get_401_in_the_words_of_studio(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Basic realm="Studio"'
    error = response.json()["error"]
    assert (error["code"], set(error)) == ("unauthenticated", {"code", "message", "step", "detail"})


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "https://studio.example.com"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://[x"}, False),
        ({"Referer": "http://testserver/"}, False),
    ],
)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_session_writes_only_from_studios_own_pages(
    as_alice: Client, settings: Settings, headers: dict[str, str], passes: bool, method: str
) -> None:
    settings.PUBLIC_URL = "https://studio.example.com"
    response = getattr(as_alice, method)(NOTHING, headers=headers)
    assert response.status_code == ((404 if method == "delete" else 405) if passes else 403)
    told = "did not come from Studio's own pages"
    assert (told in response.json()["error"]["message"]) is not passes


def test_a_session_reads_from_anywhere(as_alice: Client) -> None:
    assert as_alice.get("/api/v1/tokens").status_code == 200


def test_a_forged_request_to_studios_own_api_is_refused_in_its_words(as_alice: Client) -> None:
    given: dict[str, Any] = {"data": {"label": "x"}, "content_type": "application/json"}
    refused = as_alice.post("/api/v1/tokens", **given)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "permission_denied"
    assert not AccessToken.objects.exists()
    assert as_alice.post("/api/v1/tokens", **given, headers=SAME).status_code == 201


def test_a_token_needs_no_origin(client: Client, alice: User) -> None:
    _, text = services.issue_token(user=alice, label="x", by=alice)
    headers = {"Authorization": f"Bearer {text}"}
    assert client.delete(NOTHING, headers=headers).status_code == 404


def test_pages_refuse_a_form_that_came_from_elsewhere(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    refused = client.post("/settings/tokens/", {"label": "x"})
    assert refused.status_code == 403
    assert "This form was too old or came from elsewhere." in refused.content.decode()
    assert not AccessToken.objects.exists()
    (field, *_) = [
        f
        for f in page(client.get("/settings/tokens/")).all("input")
        if f["name"] == "csrfmiddlewaretoken"
    ]
    given = {"label": "x", "csrfmiddlewaretoken": field["value"]}
    assert client.post("/settings/tokens/", given).status_code == 200
    assert AccessToken.objects.count() == 1


def test_signing_in_is_guarded_against_forgery_too(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403


def test_answers_differ_by_who_asks(as_alice: Client) -> None:
    """A cache between must not hand one's answer to another."""
    assert {"Authorization", "Cookie"} <= {
        name.strip() for name in as_alice.get("/experiments/")["Vary"].split(",")
    }
