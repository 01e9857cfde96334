"""The one header by which Django tells MLflow's server who asks."""

from __future__ import annotations

import time

import pytest
from flask import Flask, Response
from werkzeug.datastructures import Authorization

from studio.lib.secrets import derive, sign
from studio.mlflow import identity

KEY = derive("secret", "mlflow identity")


@pytest.mark.parametrize(
    "name", ["alice", "fränk o'x", "a|b|c", "100%", "é" * 100, "bob@example.com", " "]
)
def test_a_header_names_its_user(name: str) -> None:
    header = identity.header_for(name, KEY)
    assert identity.username_from(header, KEY) == name
    assert header.isascii()
    assert "\n" not in header


@pytest.mark.parametrize(
    "forge",
    [
        lambda header: "",
        lambda header: "|",
        lambda header: "||",
        lambda header: header[:-1],
        lambda header: header + "0",
        lambda header: header.replace("alice", "admin"),
        lambda header: "admin|99999999999|" + "0" * 64,
        lambda header: header.rpartition("|")[0],
        lambda header: header.upper(),
        lambda header: header.rpartition("|")[2],
        lambda header: "é|" + header,
        lambda header: "alice|99999999999|" + header.rpartition("|")[2],
    ],
)
def test_a_header_that_was_made_up_names_nobody(forge: object) -> None:
    assert callable(forge)
    assert identity.username_from(forge(identity.header_for("alice", KEY)), KEY) is None


def test_a_header_of_another_key_names_nobody() -> None:
    header = identity.header_for("alice", KEY)
    assert identity.username_from(header, derive("other", "mlflow identity")) is None


def test_a_key_that_was_never_told_proves_nothing() -> None:
    assert identity.username_from(identity.header_for("alice", b""), b"") is None


@pytest.mark.parametrize(("age", "valid"), [(0, True), (29, True), (31, False), (3600, False)])
def test_a_header_is_valid_for_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, age: int, valid: bool
) -> None:
    now = time.time()
    header = identity.header_for("alice", KEY)
    monkeypatch.setattr(time, "time", lambda: now + age)
    assert (identity.username_from(header, KEY) == "alice") is valid


def test_a_signature_is_for_one_user_and_one_time() -> None:
    claim, _, signature = identity.header_for("alice", KEY).rpartition("|")
    until = int(claim.split("|")[1])
    for other in (f"bob|{until}", f"alice|{until + 1}", f"alice|{until}|x"):
        assert identity.username_from(f"{other}|{signature}", KEY) is None
    assert identity.username_from(f"{claim}|{sign(KEY, claim)}", KEY) == "alice"


@pytest.fixture
def flask(monkeypatch: pytest.MonkeyPatch) -> Flask:
    """As MLflow's process, which has been told the key."""
    monkeypatch.setattr(identity, "_key", b"")
    identity.accept(KEY)
    return Flask("mlflow")


def test_mlflow_is_told_the_user(flask: Flask) -> None:
    headers = {identity.HEADER: identity.header_for("fränk", KEY)}
    with flask.test_request_context(headers=headers):
        told = identity.authorize()
    assert isinstance(told, Authorization)
    assert told.username == "fränk"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {identity.HEADER: "alice|99999999999|00"},
        {"Authorization": "Basic YWxpY2U6eA=="},
        {"X-MLFLOW-AUTHORIZATION": "Basic YWxpY2U6eA=="},
        {"X-Mlflow-User": "alice", "X-Remote-User": "alice"},
    ],
)
def test_nothing_else_lets_anybody_in(flask: Flask, headers: dict[str, str]) -> None:
    with flask.test_request_context(headers=headers):
        told = identity.authorize()
    assert isinstance(told, Response)
    assert told.status_code == 401
