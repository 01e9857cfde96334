"""What every answer has in common: the content policy, and errors in the form that was asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from studio.accounts.models import User
from studio.http import POLICY
from tests.support.pages import page

# What Plotly needs, and no more. The two hashes are of an empty sheet and of the rules it inserts.
PINNED = (
    "default-src 'none'; script-src 'self'; style-src-elem 'self' "
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
WORDS = "There is no registered model named &#x27;unknown&#x27;."


def test_the_policy_is_the_one_that_was_decided() -> None:
    assert POLICY == PINNED


@pytest.mark.parametrize(
    "path",
    ["/", "/login/", "/experiments/", "/models/", "/endpoints/", "/settings/tokens/", "/find/",
     "/admin/", "/nowhere", "/models/unknown/", "/api/v1/tokens", "/api/v1/nowhere", "/livez"],
)  # fmt: skip
def test_the_policy_is_on_every_answer(client: Client, as_alice: Client, path: str) -> None:
    for asking in (client, as_alice):
        assert asking.get(path)["Content-Security-Policy"] == PINNED


def test_other_headers_keep_browsers_careful(client: Client, alice: User) -> None:
    password = "a long enough password"  # noqa: S105 - alice's
    response = client.post("/login/", {"username": "alice", "password": password})
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    cookie = client.cookies["studio_session_8000"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


@pytest.mark.parametrize("path", ["/get-artifact", "/api/v1/tokens", "/mlflow/ajax-api/2.0/x"])
def test_what_programs_read_is_not_loaded_as_code(as_alice: Client, path: str) -> None:
    for purpose in ("script", "style", "worker", "sharedworker", "serviceworker"):
        response = as_alice.get(path, headers={"Sec-Fetch-Dest": purpose})
        assert response.status_code == 403, purpose
        assert "does not load it as code" in response.content.decode()


def test_a_page_that_is_not_there_says_so(as_alice: Client) -> None:
    response = as_alice.get("/nowhere<b>")
    assert response.status_code == 404
    assert "There is no page at /nowhere&lt;b&gt;." in response.content.decode()
    assert page(response).link("Home") == "/"


def test_a_page_that_is_not_there_says_so_to_strangers(client: Client, db: None) -> None:
    """And stays: the palette would ask for what they may not have, and be sent to the door."""
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert "/find/" not in response.content.decode()


def test_an_error_of_studio_is_a_page_that_says_it(as_alice: Client) -> None:
    response = as_alice.get("/models/unknown/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
    assert WORDS in response.content.decode()
    assert page(response).all("nav")


def test_an_error_where_a_fragment_was_asked_for_is_a_fragment(as_alice: Client) -> None:
    response = as_alice.get("/models/unknown/", headers={"HX-Request": "true"})
    assert response.status_code == 404
    assert WORDS in response.content.decode()
    assert not page(response).all("nav")


@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/api/v1/"])
def test_studios_api_tells_in_its_words_what_is_not_there(as_alice: Client, path: str) -> None:
    response = as_alice.get(path)
    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "code": "endpoint_not_found", "message": f"There is no page at {path}.",
            "step": "", "detail": "",
        }
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/api/nowhere", "/api/x/", "/versions"])
def test_mlflows_api_tells_in_its_words_what_is_not_there(as_alice: Client, path: str) -> None:
    response = as_alice.get(path)
    assert response.status_code == 404
    assert response.json() == {
        "error_code": "ENDPOINT_NOT_FOUND", "message": f"There is no page at {path}."
    }  # fmt: skip


def test_an_error_of_studio_in_its_api_has_one_shape(as_alice: Client) -> None:
    response = as_alice.get("/api/v1/endpoints/unknown")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], set(error)) == ("not_found", {"code", "message", "step", "detail"})
    assert "unknown" in error["message"]


@pytest.mark.parametrize("path", ["/api/v1/endpoints/%00", "/api/v1/tokens?page=%00"])
def test_a_nul_is_refused_in_the_words_of_the_api(as_alice: Client, path: str) -> None:
    response = as_alice.get(path)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    ("path", "table", "told"),
    [
        ("/experiments/", "experiments", b"Something went wrong inside Studio."),
        ("/api/v1/tokens", "accounts_accesstoken", b'"code": "internal_error"'),
    ],
)
def test_what_nobody_expected_is_told_without_its_insides(
    as_alice: Client, path: str, table: str, told: bytes
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    as_alice.raise_request_exception = False
    response = as_alice.get(path)
    assert response.status_code == 500
    assert told in response.content
    assert b"relation" not in response.content
    assert b"Traceback" not in response.content


def test_everybody_sees_the_same_sections(as_bob: Client, as_alice: Client) -> None:
    def sections(client: Client) -> list[str]:
        read = page(client.get("/settings/tokens/"))
        return [
            a["href"]
            for a in read.all("a")
            if a["href"] in ("/experiments/", "/models/", "/endpoints/")
        ]

    assert sections(as_bob) == sections(as_alice) == ["/experiments/", "/models/", "/endpoints/"]


def test_the_first_page_shows_what_is_going_on(
    as_alice: Client, alice: User, make_experiment: Callable[..., object],
    make_run: Callable[..., object],
) -> None:  # fmt: skip
    assert "Log your first run" in page(as_alice.get("/")).texts("h2")
    make_run(make_experiment("vision"), "resnet")
    read = page(as_alice.get("/"))
    assert "Log your first run" not in read.texts("h2")
    assert "resnet" in read.texts("a")


@pytest.mark.parametrize(
    ("text", "labels"),
    [("vis", {"vision"}), ("RESNET", {"resnet"}), ("exper", {"Experiments"}), ("zzz", set())],
)
def test_the_palette_finds_by_name(
    as_alice: Client, make_experiment: Callable[..., object], make_run: Callable[..., object],
    text: str, labels: set[str],
) -> None:  # fmt: skip
    make_run(make_experiment("vision"), "resnet")
    response = as_alice.get("/find/", {"text": text})
    read = page(response)
    found = zip(read.texts("a"), read.texts("small"), strict=True)
    assert {told.removesuffix(kind) for told, kind in found} == labels
