"""MLflow's own UI below its prefix: what leads there, what is let through, and how the answers are sealed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from studio.accounts.models import AccessToken, User
from studio.mlflow import upstream
from studio.mlflow.identity import HEADER, username_from
from studio.mlflow.ui import POLICY
from tests.support.upstream import Answer, Upstream, listening

# httpcore leaves a socket that found nobody to the garbage collector, which warns.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Scripts of the installed MLflow only: no other host, nothing inline, no eval.
PINNED = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; frame-src blob:; "
    "manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SEALED = "sandbox; default-src 'none'"
SAME = {"Sec-Fetch-Site": "same-origin"}
FILES = ["/mlflow/", "/mlflow/static-files/static/js/main.c2f5f8d4.js", "/mlflow/static-files/x"]
PROGRAMS = [
    "/mlflow/ajax-api/2.0/mlflow/runs/search",
    "/mlflow/ajax-api/2.0/mlflow-artifacts/artifacts/1/a%20b/gr%C3%B6%C3%9Fe.html",
    "/mlflow/graphql",
    "/mlflow/get-artifact",
    "/mlflow/model-versions/get-artifact",
    "/mlflow/version",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as server:
        yield server


@pytest.fixture
def mlflow(server: Upstream) -> Upstream:
    server.seen.clear()
    server.answer = Answer()
    return server


@pytest.fixture
def nobody() -> Iterator[None]:
    """No server listens on the socket."""
    socket = settings.HOME.reference_socket
    aside = socket.with_suffix(".aside")
    if socket.exists():
        socket.rename(aside)
    upstream.client().close()
    upstream.client.cache_clear()
    yield
    if aside.exists():
        aside.rename(socket)
    gc.collect()


def test_the_address_without_a_slash_leads_to_the_one_with_it(as_bob: Client) -> None:
    response = as_bob.get("/mlflow")
    assert (response.status_code, response["Location"]) == (302, "/mlflow/")


@pytest.mark.parametrize("path", FILES)
def test_who_has_not_signed_in_is_led_to_the_sign_in_page(
    client: Client, mlflow: Upstream, path: str
) -> None:
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, f"/login/?next={path}")
    assert mlflow.seen == []


@pytest.mark.parametrize("path", PROGRAMS)
def test_a_program_that_has_not_signed_in_is_told_so(
    client: Client, mlflow: Upstream, path: str
) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        response = client.generic(method, path, headers=SAME)
        assert response.status_code == 401, method
        assert response["WWW-Authenticate"] == 'Bearer realm="Studio"'  # no prompt in the UI
        if method != "HEAD":
            assert response.json()["error_code"] == "UNAUTHENTICATED"
    assert mlflow.seen == []


@pytest.mark.parametrize("path", FILES + PROGRAMS)
def test_mlflow_is_asked_without_the_prefix_and_told_who_asks(
    as_bob: Client, mlflow: Upstream, path: str
) -> None:
    assert as_bob.get(f"{path}?a=%2F&b=1").status_code == 200
    assert mlflow.last.path == path.removeprefix("/mlflow")
    assert mlflow.last.query == "a=%2F&b=1"
    (claim,) = mlflow.last.header(HEADER)
    assert username_from(claim, settings.IDENTITY_KEY) == "bob"
    assert mlflow.last.header("cookie") == []


@pytest.mark.parametrize("path", ["/mlflow/", "/mlflow/graphql"])
def test_a_token_opens_it_too(client: Client, bob: User, mlflow: Upstream, path: str) -> None:
    _, token = AccessToken.issue(user=bob, label="test")
    assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.get(path, headers={"Authorization": "Bearer studio_wrong"}).status_code == 401
    assert len(mlflow.seen) == 1


@pytest.mark.parametrize("path", PROGRAMS)
def test_a_session_writes_only_from_pages_of_this_site(
    bob: User, mlflow: Upstream, path: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    forged: list[dict[str, str]] = [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ]
    for headers in forged:
        assert client.post(path, headers=headers).status_code == 403
    assert mlflow.seen == []
    assert client.post(path, headers=SAME).status_code == 200  # MLflow's UI has no CSRF token


@pytest.mark.parametrize(
    "path",
    [
        "/mlflow/signup",
        "/mlflow/health",
        "/mlflow/api/2.0/mlflow/runs/search",
        "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/x",
        "/mlflow/gateway/x",
        "/mlflow/v1/traces",
        "/mlflow/build/index.html",
        "/mlflow/static-files",
        "/mlflow/index.html",
        "/mlflow/mlflow/",
        "/mlflow/versions",
        "/mlflow//",
        "/mlflows",
    ],
)
def test_nothing_else_is_below_the_prefix(as_alice: Client, mlflow: Upstream, path: str) -> None:
    for method in ("get", "post", "delete"):
        assert getattr(as_alice, method)(path, headers=SAME).status_code == 404, method
    assert mlflow.seen == []


@pytest.mark.parametrize("route", ["users/create", "users/create-ui", "users/delete"])
def test_what_is_guarded_without_the_prefix_is_guarded_with_it(
    as_bob: Client, mlflow: Upstream, route: str
) -> None:
    given = {"username": "eve", "password": "a long enough password"}
    path = f"/ajax-api/2.0/mlflow/{route}"
    method = "DELETE" if "delete" in route else "POST"
    answers = [
        as_bob.generic(method, f"{before}{path}", data=str(given).replace("'", '"'),
                       content_type="application/json", headers=SAME)
        for before in ("", "/mlflow")
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()
    assert mlflow.seen == []
    assert not User.objects.filter(username="eve").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/mlflow/static-files/../signup",
        "/mlflow/static-files/%2e%2e/api/2.0/mlflow/users/list",
        "/mlflow/ajax-api/2.0/%252e%252e/x",
    ],
)
def test_dots_do_not_lead_out_of_what_is_open(
    as_alice: Client, mlflow: Upstream, path: str
) -> None:
    assert as_alice.get(path).status_code == 400
    assert mlflow.seen == []


def test_the_policy_of_the_ui_is_the_one_that_was_decided() -> None:
    assert POLICY == PINNED


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("status", [200, 304, 404])
def test_page_and_files_have_the_policy_of_the_ui_and_are_in_no_frame(
    as_bob: Client, mlflow: Upstream, path: str, status: int
) -> None:
    mlflow.answer = Answer(status, [("content-type", "text/html")], b"")
    response = as_bob.get(path)
    assert response.status_code == status
    assert response["Content-Security-Policy"] == PINNED
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", PROGRAMS)
def test_data_is_sealed_whatever_mlflow_says_of_it(
    as_bob: Client, mlflow: Upstream, path: str
) -> None:
    loose = [("content-security-policy", "default-src *"), ("x-content-type-options", "sniff")]
    for kind in ("text/html", "image/svg+xml", "text/javascript", "text/xml"):
        mlflow.answer = Answer(200, [("content-type", kind), *loose], b"<script src=/x></script>")
        response = as_bob.get(path)
        assert response["Content-Type"] == kind
        assert response["Content-Security-Policy"] == SEALED
        assert response["X-Content-Type-Options"] == "nosniff"


def test_a_page_takes_no_writes(as_bob: Client, mlflow: Upstream) -> None:
    assert as_bob.post("/mlflow/", headers=SAME).status_code == 405
    assert mlflow.seen == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("static/js/main.c2f5f8d4.js", "private, max-age=31536000, immutable"),
        (
            "static/media/warning.290a3b14118933547965e.svg",
            "private, max-age=31536000, immutable",
        ),
        ("favicon.ico", "no-cache"),
        ("static/js/main.js", "no-cache"),
    ],
)
def test_browsers_keep_what_is_named_by_its_content(
    as_bob: Client, mlflow: Upstream, name: str, kept: str
) -> None:
    mlflow.answer = Answer(200, [("cache-control", "no-cache")], b"")
    assert as_bob.get(f"/mlflow/static-files/{name}")["Cache-Control"] == kept
    mlflow.answer = Answer(404, [("cache-control", "no-cache")], b"")
    assert as_bob.get(f"/mlflow/static-files/{name}")["Cache-Control"] == "no-cache"


def test_a_refusal_in_plain_text_is_told_in_the_words_that_the_ui_reads(
    as_bob: Client, mlflow: Upstream
) -> None:
    told = Answer(403, [("content-type", "text/html; charset=utf-8")], b"Permission denied")
    mlflow.answer = told
    response = as_bob.get("/mlflow/ajax-api/2.0/mlflow/experiments/get")
    assert response.status_code == 403
    assert response.json() == {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}


def test_a_refusal_in_json_stays_as_it_is(as_bob: Client, mlflow: Upstream) -> None:
    body = b'{"error_code": "PERMISSION_DENIED", "message": "Not this one."}'
    mlflow.answer = Answer(403, [("content-type", "application/json")], body)
    response = as_bob.get("/mlflow/ajax-api/2.0/mlflow/experiments/get")
    assert response.status_code == 403
    assert b"".join(response) == body
    assert response["Content-Security-Policy"] == SEALED


def test_while_mlflow_is_away_the_page_says_so_and_the_api_too(
    as_bob: Client, nobody: None
) -> None:
    page, data = as_bob.get("/mlflow/"), as_bob.get("/mlflow/graphql")
    assert (page.status_code, data.status_code) == (503, 503)
    assert "MLflow&#x27;s server is not answering" in page.content.decode()
    assert "<h1>" in page.content.decode()
    assert data.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
