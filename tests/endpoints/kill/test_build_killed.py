"""A worker is killed in the middle of a build, with a broker that delivers again after 5 s what still runs."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest

from tests.endpoints.kill.world import MENDED, World
from tests.support.processes import runs, until

_DELAY = 2.5  # seconds before each answer of the index: a build takes four of them
_BUILDING = "is not in the cache, building it"
_REPLICAS = """
SELECT replica.id FROM endpoints_replica replica
JOIN endpoints_deployment deployment ON deployment.id = replica.deployment_id
WHERE deployment.name = 'built'
"""
_RECEIVED = re.compile(r"Task endpoints\.tasks\.reconcile\[([0-9a-f-]+)\] received")


@dataclass
class Rebuilt:
    """A deployment on its way to live, as one sees it who looks all the time."""

    world: World
    place: str
    log: list[str] = field(default_factory=list)
    news: list[tuple[float, str]] = field(default_factory=list)  # when, and in which state
    seen: tuple[int, str] = 0, ""  # lines, and state
    uv_of_the_dead: list[psutil.Process] = field(default_factory=list)
    deliveries: Counter[str] = field(default_factory=Counter)

    def look(self) -> bool:
        """Whether it is live. Notes whether there is anything new: in its log, its replica's log, or its state."""
        told = self.world.told(self.place)
        assert told.get("state") != "failed", told
        self.log = self.lines()
        replicas = self.world.asked(_REPLICAS)
        seen = len(self.log) + sum(len(self.lines(replica=pk)) for (pk,) in replicas)
        if (seen, told.get("state", "")) != self.seen:
            self.seen = seen, told.get("state", "")
            self.news.append((time.monotonic(), self.seen[1]))
        return told.get("state") == "live"

    def lines(self, **query: int) -> list[str]:
        answer = self.world.api.get(f"{self.place}/logs", params=query)
        return list(answer.json()["items"])

    def told(self, words: str) -> int:
        return sum(words in line for line in self.log)


@pytest.fixture(scope="module")
def rebuilt(world: World) -> Iterator[Rebuilt]:
    """One that is live after all, of a model that takes its time."""
    world.mood.write_text("is slow")
    world.index.delay, asked = _DELAY, len(world.index.asked)
    found = Rebuilt(world, world.deploy("built", model="built"))
    until(lambda: len(world.index.asked) > asked, "the build asks the index")
    found.uv_of_the_dead = [process for process in world.uvs() if runs(process)]
    killed = len(world.studio.lines)
    with world.unharmed():
        os.kill(world.pid("worker"), signal.SIGKILL)
        until(lambda: found.look() or found.told(_BUILDING) == 2, "it is taken up again", 40)
        found.news.clear()
        until(found.look, "it is live", 60)
        until(world.well, "all is well", MENDED)
    world.index.delay = 0
    world.mood.write_text("is fine")
    received = [_RECEIVED.search(line) for line in world.studio.lines[killed:]]
    found.deliveries.update(one[1] for one in received if one)
    yield found
    world.api.delete(found.place).raise_for_status()
    until(lambda: not world.told(found.place), "it is deleted")


def test_the_build_is_taken_up_again(rebuilt: Rebuilt) -> None:
    assert rebuilt.told(_BUILDING) == 2
    assert rebuilt.told("attempt 1 of victims/built") == 1
    assert rebuilt.log[-1].endswith("live")


def test_what_the_dead_worker_was_running_has_ended(world: World, rebuilt: Rebuilt) -> None:
    assert rebuilt.uv_of_the_dead
    assert [process for process in rebuilt.uv_of_the_dead if runs(process)] == []
    assert [process for process in world.uvs() if runs(process)] == []
    assert world.orphans() == []


def test_there_is_one_environment_and_nothing_half_built(world: World, rebuilt: Rebuilt) -> None:
    assert world.half_built() == []
    [built] = set(re.findall(rf"environment (\w{{8}}) {_BUILDING}", "\n".join(rebuilt.log)))
    [place] = world.studio.home.glob(f"environments/{built}*/")
    assert (place / "pyvenv.cfg").exists()


def test_there_is_one_replica_that_runs_once(world: World, rebuilt: Rebuilt) -> None:
    assert [name for _, _, name in world.rows()].count("built") == 1
    until(world.settled, "each replica has its one process", 5)


def test_what_was_delivered_again_while_it_ran_did_nothing(rebuilt: Rebuilt) -> None:
    assert max(rebuilt.deliveries.values()) > 1, "nothing was delivered twice"
    assert rebuilt.told("FAILED") == 0
    assert rebuilt.told("the replica is ready") == 1


@pytest.mark.parametrize("step", ["building", "probing", "trying"])
def test_in_each_step_there_is_news_every_two_seconds(rebuilt: Rebuilt, step: str) -> None:
    """Within 0.6 s, by which our looks are apart on a busy machine."""
    first = next(number for number, (_, state) in enumerate(rebuilt.news) if state == step)
    moments = [moment for moment, state in rebuilt.news[first:] if state == step]
    after = next(moment for moment, _ in rebuilt.news if moment > moments[-1])
    assert after - moments[0] > 4  # long enough to tell
    gaps = [later - sooner for sooner, later in itertools.pairwise([*moments, after])]
    assert max(gaps) < 2.6
