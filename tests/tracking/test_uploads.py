"""Whose grants count for the path of an upload, and what becomes of its body: without MLflow's server."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import example, given, settings, strategies
from mlflow.server import auth
from pytest_django import Settings

from studio.accounts.models import User
from studio.mlflow.guards import TABLE
from tests.support.grants import grant_mlflow
from tracking import activity, guards
from tracking.uploads import Owner

pytestmark = pytest.mark.django_db
WHERE = "/api/2.0/mlflow-artifacts/artifacts"
RUN = "0123456789abcdef0123456789abcdef"
OURS = {"Sec-Fetch-Site": "same-origin"}
NAMES = strategies.sampled_from(
    ["1", "12", "x", "workspaces", "models", "traces", "artifacts", "", RUN, RUN.upper(), RUN[:-1], "1a", "\u0661"]
)  # fmt: skip


@settings(max_examples=500, derandomize=True, deadline=None)
@given(strategies.lists(NAMES, min_size=1, max_size=6).map("/".join))
@example(f"1/{RUN}")
@example(f"1/models/{RUN}/artifacts/x")
@example(f"workspaces/w/1/{RUN}/artifacts/x")
def test_whose_grants_count_is_what_mlflow_says(path: str) -> None:
    path = path.lstrip("/")  # absolute ones are refused before
    child = auth._artifact_proxy_child(path, "update")
    owner = Owner.of(path)
    if child is None:  # no part: the experiment's alone, or nobody's
        experiment = auth._experiment_id_from_canonical_proxy_path(path)
        assert owner == (None if experiment is None else Owner(experiment, ""))
    else:
        [part], (kind, experiment) = child
        assert kind == "experiment"
        assert owner == Owner(experiment, part)


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS = tmp_path / "artifacts"
    settings.ARTIFACTS.mkdir()
    return tmp_path / "artifacts"


def put(client: Client, path: str, body: bytes = b"content", **more: Any) -> Any:
    return client.generic("PUT", f"{WHERE}/{path}", body, headers=OURS, **more)


def files(root: Path) -> dict[str, bytes]:
    """Every file below, unfinished ones as well."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_who_may_change_a_run_stores_its_files_and_nobody_else(
    as_bob: Client, bob: User, root: Path
) -> None:
    path = f"7/{RUN}/artifacts/model/weights.bin"
    for word, status in (("", 403), ("READ", 403), ("USE", 403), ("EDIT", 200)):
        if word:
            grant_mlflow(bob, "experiment", "7", word)
        assert put(as_bob, path).status_code == status, word
        assert files(root) == ({path: b"content"} if status == 200 else {})
    grant_mlflow(bob, "run", "*", "DENY")
    refused = put(as_bob, path, b"denied")
    assert (refused.status_code, refused.content) == (403, b"Permission denied")
    assert put(as_bob, "7/models/m/artifacts/x").status_code == 200
    assert files(root)[path] == b"content"


def test_a_file_takes_the_place_of_what_was_there(as_alice: Client, root: Path) -> None:
    for body in (b"one", b"the second", b""):
        answer = put(as_alice, "1/x.txt", body)
        assert (answer.status_code, answer.content) == (200, b"")
        assert files(root) == {"1/x.txt": body}


@pytest.mark.parametrize("length", ["100", "8", "10000000"])
def test_a_body_that_ends_early_is_not_stored(as_alice: Client, root: Path, length: str) -> None:
    """To a program it reads as one that has ended."""
    put(as_alice, "1/x.txt", b"before")
    more: Any = {"wsgi.input": BytesIO(b"content"), "CONTENT_LENGTH": length}
    answer = put(as_alice, "1/x.txt", **more)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert files(root) == {"1/x.txt": b"before"}


def test_a_stored_file_is_a_write_to_its_run(
    as_alice: Client, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, str]] = []
    monkeypatch.setattr(activity, "note", lambda run, folder="": noted.append((run, folder)))
    for path in (
        f"1/{RUN}/artifacts/a/b",
        f"1/{RUN}/x",
        "1/models/m/artifacts/x",
        f"1/{RUN}/artifacts/a",
    ):
        put(as_alice, path)  # the last is a folder by now
    assert noted == [(RUN, f"mlflow-artifacts:/1/{RUN}/artifacts")]


def test_every_way_to_the_route_is_studio_s_and_no_other_route_is() -> None:
    """What MLflow does not know as an upload it answers itself."""

    def uploads(method: str, path: str) -> bool:
        return any(guard.before is guards._upload for guard in TABLE.on(method, path))

    for api in ("/api/2.0", "/ajax-api/2.0"):
        assert uploads("PUT", f"{api}/mlflow-artifacts/artifacts/1/x")
        for method in ("GET", "HEAD", "DELETE", "POST"):
            assert not uploads(method, f"{api}/mlflow-artifacts/artifacts/1/x")
    assert not uploads("PUT", "/api/3.0/mlflow-artifacts/artifacts/1/x")
    assert not uploads("PUT", "/api/2.0/mlflow-artifacts/mpu/create/1/x")
