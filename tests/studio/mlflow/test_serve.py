"""How MLflow's own server is set up: what it may read, and whom it believes."""

from __future__ import annotations

import configparser
import os
import socket
import stat
from pathlib import Path

import pytest

from studio.mlflow import serve, upstream


def test_the_permission_settings_of_mlflow_are_private_and_hold_any_password(
    tmp_path: Path,
) -> None:
    (tmp_path / "secrets").mkdir()
    before = os.umask(0)
    try:
        path = serve._auth_config(tmp_path, "postgresql+psycopg://u:50%25@/db")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = configparser.ConfigParser()
    config.read(path)
    assert config["mlflow"]["database_uri"] == "postgresql+psycopg://u:50%25@/db"
    assert config["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert config["mlflow"]["authorization_function"] == "studio.mlflow.identity:authorize"


def test_what_a_client_says_of_its_address_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's assistant runs programs for who calls from this machine."""
    monkeypatch.setenv(
        "FORWARDED_ALLOW_IPS", "*"
    )  # as a container of some other program may have it
    assert serve._server().proxy_headers is False


def test_an_idle_connection_is_closed_by_who_would_use_it() -> None:
    """Else a request may meet a connection that the server is just closing, and fail for nothing."""
    kept = upstream.client()._transport._pool._keepalive_expiry  # type: ignore[attr-defined]
    assert serve._server().timeout_keep_alive > kept


def test_a_socket_is_private_and_replaces_what_was_left_there(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    serve.private_socket(path).close()  # as a killed process leaves it
    with serve.private_socket(path), socket.socket(socket.AF_UNIX) as caller:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        caller.connect(str(path))
