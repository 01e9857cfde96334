"""What other sites can have a visitor's browser do here: nothing that writes, and nothing under another name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from subprocess import run

import httpx
import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

from studio.lib.http import PROGRAM_PATHS
from tests.support.live import PASSWORD, ROOT, Studio

# A value for each kind of path argument.
SAMPLES = {"int": "1", "str": "x", "path": "x/y", "slug": "x"}


def addresses(resolver: URLResolver, before: str = "") -> Iterator[str]:
    """A path for each address that is written as a route, in Django's administration too."""
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, route)
        elif not re.search(r"[\^$(\\]", route):
            yield re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found[1] or "str"], route)


# The others are those of programs: the rule for them is the next one.
PAGES = [path for path in addresses(get_resolver()) if not f"/{path}".startswith(PROGRAM_PATHS)]
MLFLOW = [
    "/api/2.0/mlflow/runs/create", "/api/3.0/mlflow/logged-models", "/graphql", "/v1/traces",
    "/ajax-api/2.0/mlflow/runs/create", "/mlflow/graphql", "/mlflow/ajax-api/2.0/mlflow/runs/create",
]  # fmt: skip
FORGED: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {},
]


def test_the_pages_are_many() -> None:
    assert {"login/", "password/", "settings/tokens/", "administration/users/", "mlflow/"} <= set(
        PAGES
    )


@pytest.mark.parametrize("path", PAGES)
def test_no_page_takes_what_another_site_sends(as_alice: Client, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = as_alice.cookies
    for method in ("post", "put", "patch", "delete"):
        response = getattr(client, method)(f"/{path}")
        assert response.status_code == 403, method
        assert "came from elsewhere" in response.content.decode()


@pytest.fixture(scope="module")
def session(live: Studio) -> Iterator[httpx.Client]:
    """The administrator's browser."""
    with httpx.Client(base_url=live.url, timeout=60) as client:
        door = client.get("/login/").text
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', door)
        assert found
        given = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": found[1]}
        answer = client.post("/login/", data=given)
        assert answer.headers.get("Location") == "/", (answer, answer.text, live.log()[-8000:])
        yield client


@pytest.mark.parametrize("path", MLFLOW)
def test_a_session_writes_to_mlflow_only_from_studios_own_pages(
    live: Studio, session: httpx.Client, path: str
) -> None:
    for headers in FORGED:
        refused = session.post(path, json={}, headers=headers)
        assert refused.status_code == 403, headers
        assert "did not come from Studio's own pages" in refused.json()["message"]
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": live.url}):
        answer = session.post(path, json={}, headers=headers)
        assert answer.status_code != 403, headers
        assert "own pages" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/", "/login/", "/livez", "/api/v1/tokens", "/api/2.0/mlflow/runs/search",
     "/ajax-api/2.0/mlflow/runs/search", "/graphql", "/get-artifact", "/mlflow/", "/mlflow/graphql"],
)  # fmt: skip
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io"])
def test_a_host_that_is_not_studios_is_refused_on_localhost_too(
    live: Studio, path: str, host: str
) -> None:
    """A page elsewhere can have its name lead to this machine, and would then be of the same origin."""
    connection = HTTPConnection("127.0.0.1", live.port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{live.port}"})
        assert connection.getresponse().status == 400
    finally:
        connection.close()


@pytest.mark.parametrize(("url", "secure"), [("https://studio.example.com", True), ("", False)])
def test_cookies_are_sent_to_studio_alone(tmp_path: Path, url: str, secure: bool) -> None:
    """As a process of its own reads the settings."""
    code = (
        "from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY,"
        " s.SESSION_COOKIE_SAMESITE, s.CSRF_COOKIE_SAMESITE, s.SESSION_COOKIE_DOMAIN)"
    )
    environment = {"STUDIO_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "studio.settings"}
    if url:
        environment["STUDIO_PUBLIC_URL"] = url
    command = [sys.executable, "-c", code]
    told = run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(secure), str(secure), "True", "Lax", "Lax", "None"]
