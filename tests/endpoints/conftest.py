"""What tests of endpoints share: an endpoint, an index of packages, agents of this host and replicas for them to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints.agent import restarts, sampling, watching
from endpoints.agent.agent import Agent
from endpoints.models import Endpoint, Replica, ReplicaState, State
from studio.accounts.models import User
from tests.support import agents
from tests.support.agents import MakeAgent, MakeOne, making_agents, see
from tests.support.builds import own_index
from tests.support.index import Index
from tests.support.serving import make_endpoint


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time between looks, samples and starts."""
    monkeypatch.setattr(sampling, "CALM", 0.1)
    monkeypatch.setattr(sampling, "HURRIED", 0.1)
    monkeypatch.setattr(watching, "_NOTE", 0)
    monkeypatch.setattr(restarts, "FIRST_PAUSE", 0.01)


@pytest.fixture
def make_agent(db: None) -> Iterator[MakeAgent]:
    with making_agents() as make:
        yield make


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


@pytest.fixture
def make_one(alice: User) -> MakeOne:
    return lambda *given, **fields: agents.make_one(alice, *given, **fields)


@pytest.fixture
def make_live(agent: Agent, make_one: MakeOne) -> MakeOne:
    def make(behaviour: str = "serve", **given: Any) -> Replica:
        return see(agent, make_one(behaviour, State.LIVE, **given), ReplicaState.READY)

    return make


@pytest.fixture
def iris(alice: User) -> Endpoint:
    return make_endpoint(alice, "iris")


@pytest.fixture
def pypi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with own_index(tmp_path / "cache", monkeypatch) as served:
        yield served


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder
