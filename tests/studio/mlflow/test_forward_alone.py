"""The reference lane while MLflow's server does not answer, and the calls that Studio makes to it itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import Client

from studio.accounts.models import User
from studio.lib.errors import Unavailable
from studio.mlflow import upstream
from studio.mlflow.identity import HEADER, username_from
from studio.mlflow.serve import private_socket
from studio.mlflow.services import MlflowRefused, call
from tests.support.processes import until
from tests.support.upstream import Answer, Upstream, listening

# httpcore leaves a socket that found nobody to the garbage collector, which warns.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATH = "/api/2.0/mlflow/runs/search"


@pytest.fixture
def nobody() -> Iterator[None]:
    """No server listens."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[Upstream]:
    with listening(settings.HOME.reference_socket) as server:
        yield server


def test_while_nobody_listens_programs_are_told_to_try_again(
    as_alice: Client, nobody: None
) -> None:
    for method in ("get", "post"):
        response = getattr(as_alice, method)(PATH, headers={"Sec-Fetch-Site": "same-origin"})
        assert response.status_code == 503
        assert response["Content-Type"] == "application/json"
        assert response.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "MLflow's server is not answering" in response.json()["message"]


def test_a_server_that_ends_while_it_works_is_not_there(as_alice: Client) -> None:
    with private_socket(settings.HOME.reference_socket) as listener:
        listener.settimeout(10)
        killed = threading.Thread(target=lambda: listener.accept()[0].close())
        killed.start()
        response = as_alice.get(PATH)
        killed.join()
    settings.HOME.reference_socket.unlink()
    assert (response.status_code, response.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")


def test_who_sends_less_than_was_announced_is_told(as_alice: Client, server: Upstream) -> None:
    short: dict[str, Any] = {"wsgi.input": BytesIO(b"half"), "CONTENT_LENGTH": "100"}
    response = as_alice.post(PATH, headers={"Sec-Fetch-Site": "same-origin"}, **short)
    assert (response.status_code, response.json()["error_code"]) == (400, "BAD_REQUEST")
    until(lambda: not server.seen or server.last.gone, "the broken upload")


def test_a_server_that_takes_too_long_is_given_up(
    as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_TIMEOUT", httpx.Timeout(0.05))
    upstream.client.cache_clear()
    try:
        with private_socket(settings.HOME.reference_socket):  # takes the request, and never answers
            response = as_alice.get(PATH)
    finally:
        upstream.client().close()
        upstream.client.cache_clear()
        settings.HOME.reference_socket.unlink()
    assert (response.status_code, response.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "too long" in response.json()["message"]


def test_studio_calls_mlflow_as_the_user(server: Upstream) -> None:
    server.answer = Answer(pieces=b'{"a": {"b": 1}}')
    assert call("fränk", "POST", PATH, {"x": "ü"}) == {"a": {"b": 1}}
    assert server.last.method == "POST"
    assert bytes(server.last.body) == '{"x":"ü"}'.encode()
    (claim,) = server.last.header(HEADER)
    assert username_from(claim, settings.IDENTITY_KEY) == "fränk"


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (404, b'{"error_code": "X", "message": "No such run."}', "No such run.", "X"),
        (400, b'{"message": "Wrong."}', "Wrong.", ""),
        (500, b"plain words \xff", "plain words \ufffd", ""),
    ],
)
def test_a_refusal_of_mlflow_keeps_its_words_and_status(
    server: Upstream, status: int, body: bytes, message: str, code: str
) -> None:
    server.answer = Answer(status, pieces=body)
    with pytest.raises(MlflowRefused) as refusal:
        call("alice", "POST", PATH, {})
    assert (refusal.value.message, refusal.value.status, refusal.value.error_code) == (
        message, status, code
    )  # fmt: skip


def test_a_call_while_nobody_listens_says_so(alice: User, nobody: None) -> None:
    with pytest.raises(Unavailable, match="is not answering"):
        call("alice", "POST", PATH, {})
