"""What people change of a deployment while 100 requests/s come to it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.kill.world import World
from tests.support.load import Load, load
from tests.support.processes import until

ENDPOINT = "/api/v1/endpoints/victims"
KEPT = f"{ENDPOINT}/deployments/kept"


@pytest.fixture
def key(world: World) -> str:
    return str(world.api.get(f"{ENDPOINT}/keys").json()["primary"])


@pytest.fixture
def address(world: World) -> str:
    return str(world.api.get(ENDPOINT).json()["scoring_url"])


@pytest.fixture
def busy(key: str, address: str) -> Iterator[Load]:
    with load(address, key) as going:
        yield going


def present(world: World) -> dict[int, str]:
    """The replicas that are there, with their states."""
    rows = world.told(KEPT)["replica_list"]
    return {row["id"]: row["state"] for row in rows if row["state"] != "gone"}


def ready(world: World, count: int) -> set[int]:
    """Waits until that many are there and all of them are ready. Returns which."""
    states = ["ready"] * count
    until(lambda: list(present(world).values()) == states, f"{count} are ready and no other")
    return set(present(world))


def test_grown_restarted_and_made_smaller_it_answers_every_request(
    world: World, busy: Load
) -> None:
    start = time.monotonic()
    world.api.patch(KEPT, json={"replicas": 3}).raise_for_status()
    grown = ready(world, 3)
    world.api.post(f"{KEPT}/restart").raise_for_status()
    until(lambda: not grown & set(present(world)), "others have taken their place")
    renewed = ready(world, 3)
    world.api.patch(KEPT, json={"replicas": 1}).raise_for_status()
    assert ready(world, 1) < renewed
    requests = busy.between(start, time.monotonic() + 0.2)
    assert [one for one in requests if one.failed] == []
    assert world.told(KEPT)["attempt"] == 1


def test_stopped_it_says_so_and_started_it_answers_again(
    world: World, key: str, address: str
) -> None:
    def score() -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(address, json={"instances": [[1]]}, headers=headers)

    assert score().status_code == 200
    world.api.post(f"{KEPT}/stop").raise_for_status()
    until(lambda: world.told(KEPT)["state"] == "stopped", "it has stopped")
    assert present(world) == {}
    assert world.api.get(ENDPOINT).json()["state"] == "paused"
    refused = score()
    assert refused.status_code == 503
    assert "'kept' of this endpoint is stopped" in refused.json()["error"]["message"]
    world.api.post(f"{KEPT}/start").raise_for_status()
    until(lambda: world.live(KEPT), "it is live again", 30)
    until(lambda: score().status_code == 200, "it answers again", 5)
    told = world.told(KEPT)
    assert (told["attempt"], told["traffic"]) == (2, 100)
    until(world.settled, "nothing runs besides")
