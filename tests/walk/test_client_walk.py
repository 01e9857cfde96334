"""Every public method of MLflow's clients, as administrator, as a user with a grant, with too little, and with none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from studio.accounts.permissions import Level
from tests.support.live import Studio
from tests.support.training import client_of
from tests.walk.auth_cases import AUTH_CASES
from tests.walk.client_cases import CASES, TRACING, Case, Stranger
from tests.walk.world import MARK, World

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and its libraries', of each other
# How MLflow's client tells of a 403, as it is or in words of its own.
DENIED = r"\b403\b|PERMISSION_DENIED|may not have access"
KINDS = ("experiment", "registered_model", "prompt", "mcp_server")


def public_methods(client: type) -> set[str]:
    return {
        name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))
    }


def _by_level(name: str) -> tuple[int, str]:
    return CASES[name].needs, name


ORDER: list[str] = sorted(CASES, key=_by_level)


class Actors:
    """Whoever calls: MLflow's client takes the token from the environment at each request."""

    def __init__(self, live: Studio, client: MlflowClient) -> None:
        # A refusal is not asked for again, not even one with 503.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        self.client = client
        self._tokens = {"admin": os.environ["MLFLOW_TRACKING_TOKEN"]}
        for name in ("granted", "stranger"):
            made = (
                f"from studio.accounts.models import User; User.objects.create_user('walk-{name}')"
            )
            live.manage("shell", "-c", made)
            self._tokens[name] = live.token(f"walk-{name}")
        auth = AuthServiceClient(live.url)
        role = auth.create_role("default", "walkers")
        auth.assign_role("walk-granted", role.id)
        self._grants = [auth.add_role_permission(role.id, kind, "*", "READ") for kind in KINDS]
        self.role = role.id
        self._auth, self._level = auth, Level.READ

    def become(self, name: str) -> MlflowClient:
        os.environ["MLFLOW_TRACKING_TOKEN"] = self._tokens[name]
        return self.client

    def granted(self, level: Level) -> MlflowClient:
        """The user whose role holds this level on everything there is."""
        if level != self._level:
            self.become("admin")
            for grant in self._grants:
                self._auth.update_role_permission(grant.id, level.name)
            self._level = level
        return self.become("granted")


@pytest.fixture(scope="module")
def actors(live: Studio, token: str) -> Iterator[Actors]:
    with client_of(live.url, token) as client:
        yield Actors(live, client)


@pytest.fixture(scope="module")
def world(live: Studio, token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live.client(token) as api:
        yield World(api, Path(tmp_path_factory.mktemp("walk")))


def test_every_method_has_a_case() -> None:
    assert public_methods(MlflowClient) == set(CASES) | TRACING


# By level, so that the grant changes few times.
@pytest.mark.parametrize("name", ORDER)
def test_who_may_call(actors: Actors, world: World, name: str) -> None:
    case = CASES[name]
    allowed(case, actors.become("admin"), world)
    if case.needs <= Level.MANAGE:
        allowed(case, actors.granted(max(case.needs, Level.READ)), world)
    below = [level for level in (Level.READ, Level.EDIT, Level.MANAGE) if level < case.needs]
    if below:
        denied(lambda: case.call(actors.granted(below[-1]), world))
    stranger = actors.become("stranger")
    match case.stranger:
        case Stranger.DENIED:
            denied(lambda: case.call(stranger, world))
        case Stranger.MISSING:
            refused(
                lambda: case.call(stranger, world),
                r"\b404\b|RESOURCE_DOES_NOT_EXIST|[Nn]o runs found",
            )
        case Stranger.NOTHING:
            assert MARK not in repr(case.call(stranger, world))
        case Stranger.THE_SAME:
            allowed(case, stranger, world)


def allowed(case: Case, client: MlflowClient, world: World) -> None:
    """It works, or is refused for what is asked, and not for who asks."""
    try:
        got = case.call(client, world)
    except (MlflowException, NotImplementedError) as told:
        assert case.told, told
        assert re.search(case.told, str(told)), told
        assert not re.search(DENIED, str(told)), told
        return
    if case.stranger == Stranger.NOTHING:
        assert MARK in repr(got)


def denied(call: Callable[[], Any]) -> None:
    refused(call, DENIED)


def refused(call: Callable[[], Any], words: str) -> None:
    """Refused in these words, by MLflow's client or by what it uploads and downloads with."""
    with pytest.raises((MlflowException, requests.HTTPError)) as told:
        call()
    assert re.search(words, f"{told.value} {getattr(told.value, 'error_code', '')}"), told.value


def test_every_method_of_the_client_for_permissions_has_a_case() -> None:
    assert public_methods(AuthServiceClient) == set(AUTH_CASES)


@pytest.mark.parametrize("name", sorted(AUTH_CASES))
def test_who_may_administer(live: Studio, actors: Actors, world: World, name: str) -> None:
    needs, call = AUTH_CASES[name]
    client = AuthServiceClient(live.url)
    actors.become("admin")
    call(client, world, actors.role)
    if needs is None:
        actors.granted(Level.MANAGE)
        denied(lambda: call(client, world, actors.role))
    else:
        actors.granted(needs)
        call(client, world, actors.role)
    actors.become("stranger")
    denied(lambda: call(client, world, actors.role))


def test_tracing_as_everybody(actors: Actors, world: World) -> None:
    """A trace is sent when it ends, by a thread of MLflow's that logs a refusal and goes on."""
    told = [trace_of(actors.become("admin"), world), trace_of(actors.granted(Level.EDIT), world)]
    trace_of(actors.granted(Level.READ), world)
    trace_of(actors.become("stranger"), world)
    found = actors.become("admin").search_traces(locations=[world.experiment], include_spans=False)
    assert set(told) == {trace.info.trace_id for trace in found if MARK not in trace.info.trace_id}


def trace_of(client: MlflowClient, world: World) -> str:
    root = client.start_trace("walked", experiment_id=world.experiment)
    child = client.start_span("inner", root.trace_id, parent_id=root.span_id)
    client.end_span(root.trace_id, child.span_id)
    client.end_trace(root.trace_id)
    mlflow.flush_trace_async_logging()
    return str(root.trace_id)
