"""The guards on users and permissions in a whole running Studio, before MLflow's real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from tests.studio.mlflow.reference import mlflow_alone
from tests.support.live import Studio

USERS = "/api/2.0/mlflow/users"
OLD, NEW = "the first long password", "the second long password"


class Account(NamedTuple):
    """What Django and MLflow each hold of a user, or None."""

    studios: tuple[bool, bool] | None  # active, administrator
    mlflows: tuple[bool] | None  # administrator


@pytest.fixture(scope="module")
def database(live: Studio) -> Iterator[psycopg.Connection[Any]]:
    url = json.loads(live.manage("status", "--json"))["database_url"]
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def account(database: psycopg.Connection[Any]) -> Callable[[str], Account]:
    def account(name: str) -> Account:
        asked = "SELECT is_active, is_superuser FROM accounts_user WHERE username = %s"
        theirs = "SELECT is_admin FROM users WHERE username = %s"
        return Account(
            database.execute(asked, [name]).fetchone(), database.execute(theirs, [name]).fetchone()
        )

    return account


@pytest.fixture
def admin(live: Studio, token: str) -> Iterator[AuthServiceClient]:
    with as_client(live, MLFLOW_TRACKING_TOKEN=token) as client:
        yield client


@contextmanager
def as_client(live: Studio, **credentials: str) -> Iterator[AuthServiceClient]:
    """MLflow's own client of its users and permissions, told who asks in the way its documentation says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "MLFLOW_TRACKING_TOKEN",
            "MLFLOW_TRACKING_USERNAME",
            "MLFLOW_TRACKING_PASSWORD",
        ):
            patch.delenv(name, raising=False)
        for name, value in credentials.items():
            patch.setenv(name, value)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield AuthServiceClient(live.url)


def as_person(live: Studio, name: str, password: str) -> Any:
    return as_client(live, MLFLOW_TRACKING_USERNAME=name, MLFLOW_TRACKING_PASSWORD=password)


def status_of(live: Studio, name: str, password: str) -> int:
    """Of a request with this name and password."""
    url = f"{live.url}{USERS}/current"
    return httpx.get(url, auth=(name, password), timeout=20).status_code


@pytest.fixture
def make_user(admin: AuthServiceClient) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def make(name: str) -> str:
        admin.create_user(name, OLD)
        made.append(name)
        return name

    yield make
    for name in made:
        admin.delete_user(name)


def test_an_administrator_keeps_users_with_mlflows_own_client(
    live: Studio, admin: AuthServiceClient, account: Callable[[str], Account]
) -> None:
    made = admin.create_user("guarded", OLD)
    assert (made.username, made.is_admin) == ("guarded", False)
    assert account("guarded") == Account((True, False), (False,))
    found = admin.get_user("guarded")
    assert (found.id, found.username, found.is_admin) == (made.id, "guarded", False)
    assert status_of(live, "guarded", OLD) == 200

    admin.update_user_password("guarded", NEW)
    assert status_of(live, "guarded", OLD) == 401
    assert status_of(live, "guarded", NEW) == 200

    admin.update_user_admin("guarded", True)
    assert account("guarded") == Account((True, True), (True,))
    with as_person(live, "guarded", NEW) as client:
        assert client.get_user("admin").is_admin
    admin.update_user_admin("guarded", False)
    assert account("guarded") == Account((True, False), (False,))

    admin.delete_user("guarded")
    assert account("guarded") == Account(None, None)
    assert status_of(live, "guarded", NEW) == 401
    with pytest.raises(MlflowException, match="User with username=guarded not found") as missing:
        admin.delete_user("guarded")
    assert missing.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_who_is_no_administrator_changes_his_own_password_and_nothing_else(
    live: Studio, make_user: Callable[[str], str], account: Callable[[str], Account]
) -> None:
    make_user("plain")
    make_user("other")
    with as_person(live, "plain", OLD) as client:
        attempts: list[Callable[[], object]] = [
            lambda: client.create_user("third", OLD),
            lambda: client.update_user_password("other", NEW, OLD),
            lambda: client.update_user_admin("plain", True),
            lambda: client.delete_user("other"),
            lambda: client.delete_user("plain"),
        ]
        for refused in attempts:
            with pytest.raises(MlflowException, match="Only an administrator") as forbidden:
                refused()
            assert forbidden.value.error_code == "PERMISSION_DENIED"
        with pytest.raises(MlflowException, match="Current password does not match"):
            client.update_user_password("plain", NEW, "not it")
        client.update_user_password("plain", NEW, OLD)
    assert status_of(live, "plain", OLD) == 401
    assert status_of(live, "plain", NEW) == 200
    assert status_of(live, "other", OLD) == 200
    assert account("third") == Account(None, None)
    assert account("plain") == account("other") == Account((True, False), (False,))


# MLflow's server itself, without Studio before it.


@pytest.fixture
def mlflow(live: Studio) -> Iterator[httpx.Client]:
    with mlflow_alone(live) as client:
        yield client


def test_without_a_guard_mlflow_would_write_a_user_of_its_own(
    mlflow: httpx.Client, account: Callable[[str], Account]
) -> None:
    """What the tests below look for, so that they cannot find nothing by looking in the wrong place."""
    body = {"username": "mallory", "password": OLD}
    assert mlflow.post(f"{USERS}/create", json=body).status_code == 200
    assert account("mallory") == Account(None, (False,))
    gone = mlflow.request("DELETE", f"{USERS}/delete", json=body)
    assert (gone.status_code, account("mallory")) == (200, Account(None, None))


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/users/Create",
        "/api/2.0/MLFLOW/users/create",
        "/ajax-api/2.0/mlflow/USERS/CREATE",
        "/api/2.0/mlflow/users/create/",
        "/api/2.0/mlflow/users//create",
        "/api/2.0//mlflow/users/create",
        "/ajax-api//2.0/mlflow/users/create",
        "//api/2.0/mlflow/users/create",
        "/api/2.0/mlflow/users/create;a=b",
        "/api/2.0/mlflow/users;a=b/create",
        "/api/2.0/mlflow/users/create%3Ba=b",
        "/api/2.0/mlflow/users/create%0A",
        "/api/2.0/mlflow/users/create%20",
        "/api/2.0/mlflow/users/create%00",
        "/api/2.0/mlflow/users/create%3F",
        "/api/2.0/mlflow/users/create%23x",
        "/api/2.0/mlflow/users%252Fcreate",
        "/api/2.0/mlflow/%2575sers/create",
        "/api/2.0/mlflow%5Cusers%5Ccreate",
        "/api/2.0/mlflow/x/../users/create",
        "/api/2.0/mlflow/x/%2e%2e/users/create",
        "/api/2.0/mlflow/x/%252e%252e/users/create",
        "/api/2.0/mlflow/./users/create",
        "/api/2.0/mlflow/users/create/.",
        "/api/3.0/mlflow/users/create/",
        "/api/2.0/mlflow/users/create-ui/",
        "/api/2.0/mlflow/users/create-ui",
        "/api/2.0/mlflow/users/Create-UI",
        "/mlflow/ajax-api/2.0/mlflow/users/create/",
        "/mlflow/ajax-api/2.0/mlflow/users//create",
        "/mlflow/ajax-api/2.0/mlflow/Users/create",
        "/mlflow//ajax-api/2.0/mlflow/users/create",
        "/mlflow/mlflow/ajax-api/2.0/mlflow/users/create",
        "/mlflow/signup",
        "/signup",
        "/signup/",
        "/Signup",
    ],
)
def test_no_spelling_of_a_closed_route_leads_around_its_guard(
    live: Studio, token: str, account: Callable[[str], Account], path: str
) -> None:
    """As the administrator, to whom MLflow itself refuses nothing."""
    for method in ("POST", "GET", "PUT"):
        status = by_hand(live, token, f"{method} {path} HTTP/1.1")
        assert 300 <= status < 500, method
        assert account("mallory") == Account(None, None), method


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("PUT /api/2.0/mlflow/users/create HTTP/1.1", ["X-HTTP-Method-Override: POST"]),
        ("GET /api/2.0/mlflow/users/create HTTP/1.1", ["X-HTTP-Method: POST"]),
        ("PATCH /api/2.0/mlflow/users/create HTTP/1.1", ["X-Method-Override: POST"]),
        ("POST /api/2.0/mlflow/users/get?_method=POST HTTP/1.1", []),
        ("GET /api/2.0/mlflow/users/list HTTP/1.1", ["X-Original-URL: /api/2.0/mlflow/users/create"]),
        ("POST /api/2.0/mlflow/runs/search HTTP/1.1", ["X-Rewrite-URL: /api/2.0/mlflow/users/create"]),
        ("POST /api/2.0/users/create HTTP/1.1", ["X-Forwarded-Prefix: /mlflow"]),
        ("POST /api/2.0/mlflow/users/x/create HTTP/1.1", ["X-Script-Name: /x"]),
    ],
)  # fmt: skip
def test_no_header_leads_around_a_guard(
    live: Studio, token: str, account: Callable[[str], Account], line: str, headers: list[str]
) -> None:
    by_hand(live, token, line, *headers)
    assert account("mallory") == Account(None, None)


@pytest.mark.parametrize(
    "line",
    [
        "POST /api/2.0/mlflow/users/create HTTP/1.1",
        "post /api/2.0/mlflow/users/create HTTP/1.1",
        "POST /ajax-api/2.0/mlflow/users/create HTTP/1.1",
        "POST /api/2.0/mlflow/%75sers/create HTTP/1.1",
        "POST /api/2.0/mlflow/users%2Fcreate HTTP/1.1",
        "POST /mlflow/ajax-api/2.0/mlflow/users/create HTTP/1.1",
        "POST http://127.0.0.1/api/2.0/mlflow/users/create HTTP/1.1",
    ],
)
def test_what_mlflow_would_understand_is_understood_by_the_guard(
    live: Studio, token: str, admin: AuthServiceClient, account: Callable[[str], Account], line: str
) -> None:
    """Django's user is there with MLflow's, or neither is."""
    status = by_hand(live, token, line)
    found = account("mallory")
    assert found == (Account((True, False), (False,)) if status == 200 else Account(None, None))
    if found.studios:
        admin.delete_user("mallory")
    if line.startswith("POST /"):
        assert status == 200


def by_hand(live: Studio, token: str, line: str, *headers: str) -> int:
    """Send a request to create mallory, byte by byte, and return the status of the answer."""
    body = json.dumps({"username": "mallory", "password": OLD}).encode()
    lines = [
        line, f"Host: 127.0.0.1:{live.port}", f"Authorization: Bearer {token}", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", "",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", live.port), 20) as wire:
        wire.sendall("\r\n".join(lines).encode() + body)
        told = b""
        while b"\r\n" not in told and (piece := wire.recv(4096)):
            told += piece
    return int(told.split()[1])


# What is accounted for.


def test_every_change_of_permissions_is_accounted_for(
    admin: AuthServiceClient, make_user: Callable[[str], str], database: psycopg.Connection[Any]
) -> None:
    make_user("granted")
    start = database.execute("SELECT coalesce(max(id), 0) FROM accounts_auditevent").fetchone()
    assert start is not None
    admin.grant_user_permission("granted", "experiment", "0", "READ")
    admin.revoke_user_permission("granted", "experiment", "0")
    role = admin.create_role("default", "readers", "they read")
    admin.update_role(role.id, name="watchers")
    given = admin.add_role_permission(role.id, "experiment", "*", "READ")
    admin.update_role_permission(given.id, "EDIT")
    admin.assign_role("granted", role.id)
    admin.unassign_role("granted", role.id)
    admin.remove_role_permission(given.id)
    admin.delete_role(role.id)
    attempts: list[Callable[[], object]] = [
        lambda: admin.grant_user_permission("nobody", "experiment", "0", "READ"),
        lambda: admin.grant_user_permission("granted", "experiment", "0", "EVERYTHING"),
        lambda: admin.delete_role(role.id),
        lambda: admin.assign_role("granted", role.id),
        lambda: admin.remove_role_permission(given.id),
    ]
    for refused in attempts:
        with pytest.raises(MlflowException):
            refused()
    rows = database.execute(
        "SELECT actor, action, target FROM accounts_auditevent WHERE id > %s ORDER BY id", start
    ).fetchall()
    assert rows == [
        ("admin", "grant.give", "granted: READ on experiment 0"),
        ("admin", "grant.take", "granted: experiment 0"),
        ("admin", "role.create", "readers in workspace default"),
        ("admin", "role.update", f"readers ({role.id}): name watchers"),
        ("admin", "role.give", f"watchers ({role.id}): READ on experiment *"),
        ("admin", "role.change", f"watchers ({role.id}): READ on experiment *, now EDIT"),
        ("admin", "role.assign", f"granted: watchers ({role.id})"),
        ("admin", "role.unassign", f"granted: watchers ({role.id})"),
        ("admin", "role.take", f"watchers ({role.id}): EDIT on experiment *"),
        ("admin", "role.delete", f"watchers ({role.id})"),
    ]


# What stands among the free routes for a reason that is MLflow's to keep.

ASSISTANT = "/ajax-api/3.0/mlflow/assistant"
JOB = {"job_name": "invoke_scorer", "params": {}}
EVALUATION = {"experiment_id": "0", "trace_ids": ["x"], "serialized_scorers": ["{}"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", f"{ASSISTANT}/message", {"message": "run id"}, "Studio does not offer it"),
        ("PUT", f"{ASSISTANT}/config", {}, "Studio does not offer it"),
        ("POST", f"{ASSISTANT}/skills/install", {}, "Studio does not offer it"),
        ("PATCH", f"{ASSISTANT}/sessions/x", {}, "Studio does not offer it"),
        ("POST", f"{ASSISTANT}/sessions/x/tool-result", {}, "Studio does not offer it"),
        ("POST", f"{ASSISTANT}/sessions/x/permission", {}, "Studio does not offer it"),
        ("POST", "/ajax-api/3.0/jobs/", JOB, "switched off in Studio"),
        ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke", EVALUATION, "is not enabled"),
    ],
)
def test_nobody_has_mlflows_server_run_programs(
    live: Studio, token: str, method: str, path: str, body: object, reason: str
) -> None:
    with live.client(token) as client:
        response = client.request(method, path, json=body)
    assert response.status_code >= 400
    assert reason in response.text
