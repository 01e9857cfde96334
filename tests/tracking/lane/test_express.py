"""The short way answers what it may, and leaves all else to Django as if it had not looked."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

import pytest

from studio import express
from studio.accounts.models import AccessToken, User
from studio.health.counters import WEB
from studio.mlflow.guards import TABLE, Guard, denied
from tests.support import rows
from tracking.models import Metric

PATH = "/api/2.0/mlflow/runs/log-metric"


@pytest.fixture
def run_id(lane: None) -> str:
    return rows.make_run(rows.make_experiment()).pk


@pytest.fixture
def token(alice: User) -> str:
    return AccessToken.issue(user=alice, label="training")[1]


class Call:
    """A request as the server hands it over, and what was answered to it."""

    def __init__(self, run_id: str, token: str, **environ: str) -> None:
        point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 7, "step": 1}
        self.body = json.dumps(point).encode()
        self.environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": PATH,
            "HTTP_HOST": "localhost",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(self.body)),
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PORT": "8000",
            "wsgi.input": BytesIO(self.body),
            **environ,
        }
        self.status = ""
        self.headers: dict[str, str] = {}
        self.answer = express.answered(self.environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)


def test_it_stores_and_says_so(run_id: str, token: str) -> None:
    call = Call(run_id, token, HTTP_X_REQUEST_ID="mine-7")
    assert (call.status, call.answer) == ("200 OK", [b"{}"])
    assert Metric.objects.get(run=run_id).value == 0.5
    assert call.headers["X-Request-ID"] == "mine-7"
    assert call.headers["Content-Length"] == "2"
    assert call.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("prefix", ["", "/ajax-api", "/mlflow/ajax-api"])
def test_every_address_of_a_route_is_its_own(run_id: str, token: str, prefix: str) -> None:
    path = PATH.replace("/api", prefix or "/api", 1)
    assert Call(run_id, token, PATH_INFO=path).status == "200 OK"


def test_it_is_counted_as_django_counts_it(run_id: str, token: str) -> None:
    key = ("http_requests", "api/2.0/mlflow/runs/log-metric", "POST", "2xx")
    refused = ("http_requests", "mlflow refused", "POST", "4xx")
    before = dict(WEB._totals.counts)
    Call(run_id, token)
    Call("f" * 32, token)
    assert WEB._totals.counts[key] == before.get(key, 0) + 1
    assert WEB._totals.counts[refused] == before.get(refused, 0) + 1


def test_the_tokens_use_is_noted(run_id: str, token: str) -> None:
    Call(run_id, token)
    assert AccessToken.objects.get().last_used_at is not None


@pytest.mark.parametrize(
    "environ",
    [
        {"REQUEST_METHOD": "GET"},
        {"PATH_INFO": "/api/2.0/mlflow/runs/search"},
        {"PATH_INFO": f"{PATH}/"},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": ""},
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_AUTHORIZATION": ""},
        {"HTTP_AUTHORIZATION": "Basic YTpi"},
        {"HTTP_AUTHORIZATION": "Bearer studio_unknown"},
    ],
    ids=str,
)
def test_all_else_goes_the_long_way(run_id: str, token: str, environ: dict[str, str]) -> None:
    call = Call(run_id, token, **environ)
    assert call.answer is None
    assert call.environ["wsgi.input"].read() == call.body
    assert not Metric.objects.exists()


def test_a_proxy_that_is_not_trusted_names_no_host(run_id: str, token: str) -> None:
    assert Call(run_id, token, HTTP_X_FORWARDED_HOST="evil.example").status == "200 OK"
    assert (
        Call(run_id, token, HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="localhost").answer
        is None
    )


def test_a_token_that_was_revoked_lets_nobody_in(run_id: str, token: str) -> None:
    Call(run_id, token)
    AccessToken.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert Call(run_id, token).answer is None


def test_a_user_who_was_switched_off_is_let_in_no_more(run_id: str, token: str) -> None:
    User.objects.update(is_active=False)
    assert Call(run_id, token).answer is None


@pytest.mark.parametrize(("name", "status"), [("alice", "200 OK"), ("bob", "")])
def test_a_token_as_a_password_needs_its_users_name(
    run_id: str, token: str, name: str, status: str
) -> None:
    pair = base64.b64encode(f"{name}:{token}".encode()).decode()
    assert Call(run_id, token, HTTP_AUTHORIZATION=f"Basic {pair}").status == status


def test_a_route_that_has_a_guard_goes_the_long_way(
    run_id: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [own] = TABLE.on("POST", PATH)
    monkeypatch.setattr(
        TABLE, "guards", [*TABLE.guards, Guard(*own)._replace(before=lambda _: denied())]
    )
    express._routes.cache_clear()
    try:
        assert Call(run_id, token).answer is None
    finally:
        monkeypatch.undo()
        express._routes.cache_clear()
    assert Call(run_id, token).status == "200 OK"
