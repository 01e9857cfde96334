"""What happens when a part of Studio dies or stands still, under a load of 100 requests/s on another endpoint.

Each row breaks one part, looks at what came of it, and leaves all well.
"""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.endpoints.kill.world import MENDED, SERVICES, SLOW, World, still
from tests.support.processes import until

_STOPPED = 2.0  # seconds that a process stands still
# What is deployed meanwhile is clicked before: without these nobody can, and a broker that stands still
# holds up the click for 5 s.
_FOR_A_CLICK = {"web", "postgres"}
_FOR_A_QUICK_CLICK = {*_FOR_A_CLICK, "redis"}


@pytest.mark.parametrize("victim", [*SERVICES, "pool process", "replica", "template"])
def test_one_that_is_killed_is_replaced_and_nobody_else_notices(world: World, victim: str) -> None:
    before, kept = world.pid(victim), world.pid("replica")
    with world.unharmed():
        name = f"kill-{victim.split()[0]}"
        place = world.deploy(name) if victim in _FOR_A_CLICK else ""
        os.kill(before, signal.SIGKILL)
        place = place or world.deploy(name)
        until(lambda: world.another(victim, before), f"another {victim}", MENDED)
        world.mended(place)
    assert (world.pid("replica") == kept) is (victim != "replica")


def test_a_replica_that_is_killed_serves_again_within_three_seconds(world: World) -> None:
    before = world.pid("replica")
    with world.unharmed():
        os.kill(before, signal.SIGKILL)
        until(lambda: world.another("replica", before) and world.settled(), "it serves again", 3)


def test_the_gateway_fails_only_while_it_is_down(world: World) -> None:
    before, killed = world.pid("gateway"), time.monotonic()
    with world.unharmed(but=lambda request: killed < request.ended < killed + 3):
        os.kill(before, signal.SIGKILL)
        place = world.deploy("kill-gateway")
        until(lambda: world.another("gateway", before), "another gateway", MENDED)
        world.mended(place)
    failed = [one for one in world.load.between(killed, killed + 3) if one.failed]
    assert failed, "the load did not notice that the gateway was down"
    first, last = failed[0].number, failed[-1].number
    assert last - first + 1 == len(failed)  # down once, and up again for good


@pytest.mark.parametrize("victim", [*SERVICES, "replica", "template"])
def test_one_that_stands_still_goes_on_and_nobody_else_notices(world: World, victim: str) -> None:
    before = world.pid(victim)
    with world.unharmed():
        place = world.deploy(f"stop-{victim}") if victim in _FOR_A_QUICK_CLICK else ""
        with still(victim, before):
            place = place or world.deploy(f"stop-{victim}")
            time.sleep(_STOPPED)
        world.mended(place)
    # A template that owes an answer for 2 s is given up for another one.
    assert victim == "template" or world.pid(victim) == before


def test_a_gateway_that_stands_still_answers_late_and_loses_nothing(world: World) -> None:
    before, start = world.pid("gateway"), time.monotonic()
    with still("gateway", before):
        time.sleep(_STOPPED)
    end = time.monotonic()
    requests = world.load.between(start - 0.2, end + 0.5)
    assert [request for request in requests if request.failed] == [], world.studio.log()[-6000:]
    late = [request for request in requests if request.took > SLOW]
    assert late, "the load did not notice that the gateway stood still"
    assert all(start - 0.2 < request.due < end for request in late)
    assert world.pid("gateway") == before


def test_up_has_started_again_each_one_that_was_killed(world: World) -> None:
    told = json.loads(world.studio.manage("status", "--json"))["processes"]
    assert {process["state"] for process in told} == {"running"}
    restarts = {name: process["restarts"] for name, process in world.processes().items()}
    assert set(restarts) == {*SERVICES, "gateway"}
    assert [name for name, count in restarts.items() if count == 0] == []
