"""Each way to fail: what the person reads, what is kept, that nothing goes on, and that trying again works.

A store or a version that goes away between two steps is in test_deploy_steps; a model's own tracebacks and
MLflow's words are in test_failures_live.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoints.models import STEPS
from studio.lib.home import Home
from tests.endpoints.kill.world import World, still
from tests.support.disks import may_mount, mounted
from tests.support.index import wheel
from tests.support.processes import until

Click = Callable[[], str]
Cause = Callable[[World, Click], AbstractContextManager[None]]


def mood(told: str) -> Cause:
    """The model is like that."""

    @contextmanager
    def cause(world: World, click: Click) -> Iterator[None]:
        world.mood.write_text(told)
        click()
        yield
        world.mood.write_text("is fine")

    return cause


def mood_for_ten_minutes(told: str, after: str = "") -> Cause:
    """`after`: what its own log says by the time that ten minutes are over."""

    @contextmanager
    def cause(world: World, click: Click) -> Iterator[None]:
        world.mood.write_text(told)
        logs = Home(world.studio.home).logs
        before = set(logs.rglob("*.log"))
        place = click()
        until(lambda: world.told(place).get("state") == "probing", "it loads")
        until(lambda: after in _told_since(logs, before), "its log has come so far", 30)
        name = place.rstrip("/").rpartition("/")[2]
        late = (
            "UPDATE endpoints_deployment SET state_at = now() - interval '11 min' WHERE name = %s"
        )
        world.execute(late, name)
        yield
        world.mood.write_text("is fine")

    return cause


def _told_since(logs: Path, before: set[Path]) -> str:
    """All that the logs say which were not there before."""
    return "".join(path.read_text() for path in set(logs.rglob("*.log")) - before)


@contextmanager
def version_deleted(world: World, click: Click) -> Iterator[None]:
    stage = "UPDATE model_versions SET current_stage = %s WHERE name = 'tiny'"
    with still("worker", world.pid("worker")):
        click()
        world.execute(stage, "Deleted_Internal")
    yield
    world.execute(stage, "None")


@contextmanager
def store_down(world: World, click: Click) -> Iterator[None]:
    store = world.studio.home / "artifacts"
    away = store.rename(store.with_name("away"))
    click()
    yield
    away.rename(store)


@contextmanager
def not_published(world: World, click: Click) -> Iterator[None]:
    click()
    yield
    world.index.files.update([wheel("late-1.0")])


@contextmanager
def in_conflict(world: World, click: Click) -> Iterator[None]:
    click()
    yield
    stored = world.studio.home / "artifacts" / "models" / "wants-both-1" / "requirements.txt"
    stored.write_text(stored.read_text().replace("tiny==1.0", "tiny==2.0"))


@contextmanager
def build_killed(world: World, click: Click) -> Iterator[None]:
    world.index.delay, asked = 2, len(world.index.asked)
    click()
    until(lambda: len(world.index.asked) > asked, "the build asks the index")
    for process in world.uvs():
        os.kill(process.pid, signal.SIGKILL)
    world.index.delay = 0
    yield


def full(folder: str, size: str) -> Cause:
    """A disk of its own, which is full at once, lies over a folder of STUDIO_HOME."""

    @contextmanager
    def cause(world: World, click: Click) -> Iterator[None]:
        with mounted(world.studio.home / folder, size):
            click()
            yield

    return cause


@dataclass(frozen=True)
class Row:
    cause: Cause
    step: str
    reason: str  # a regular expression of the whole
    detail: str = ""
    model: str = "tiny"
    in_log: str = ""


NOT_INSTALLED = r"The model's requirements could not be installed\. "
AGAIN = (
    r" Correct them and log the model again; or try again, if the package index was out of reach\."
)
SLOW = r"The model was not ready after 10 minutes\. .*"
TABLE = {
    "version deleted": Row(
        version_deleted, "resolving", r"models:/tiny/1 has been deleted\. Deploy another version\."
    ),
    "artifact store down": Row(
        store_down,
        "resolving",
        r"The artifact store is out of reach: there is no folder .*/artifacts \(STUDIO_ARTIFACTS\)\. "
        r"Try again when it is back\.",
    ),
    "requirement not found": Row(
        not_published, "building", f"{NOT_INSTALLED}.*late.*{AGAIN}", "late", "wants-late", "late"
    ),
    "requirement that conflicts": Row(
        in_conflict,
        "building",
        f"{NOT_INSTALLED}.*tiny==1.0.*needy.*unsatisfiable\\.{AGAIN}",
        "tiny",
        "wants-both",
        "tiny",
    ),
    "build killed": Row(
        build_killed,
        "building",
        NOT_INSTALLED
        + r"uv, which installs them, was ended by SIGKILL\. This machine may be short of memory\. Try again\.",
        "",
        "wants-two",
    ),
    "disk full, fetching": Row(
        full("models", "4k"),
        "fetching",
        r"No space left on device\. Make room on the disk of STUDIO_HOME, then try again\.",
        "No space left on device",
        in_log="No space left",
    ),
    "disk full, building": Row(
        full("environments", "64k"),
        "building",
        NOT_INSTALLED
        + r"No space left on device\. Make room on the disk of STUDIO_HOME, then try again\.",
        "No space left on device",
        "wants-room",
        "No space left",
    ),
    "load raises": Row(
        mood("raises"),
        "probing",
        r"The model did not load: its code raised an error, which the log shows\. ValueError: boom-load",
        "ValueError: boom-load",
        in_log="ValueError: boom-load",
    ),
    "load hangs": Row(mood_for_ten_minutes("hangs"), "probing", SLOW, in_log="loading"),
    "import kills the process": Row(
        mood("dies on import"),
        "probing",
        r"The model did not load: it was ended by SIGSEGV\.",
        "Fatal Python error: Segmentation fault",
        in_log="a_tiny_model.py",
    ),
    "probe never ready": Row(
        mood_for_ten_minutes("is never ready", "loaded in"), "probing", SLOW, in_log="loaded in"
    ),
    "input example fails": Row(
        mood("does not predict"),
        "trying",
        r"The model fails on its own input example: .* Log it again with an example that it takes\.",
        "boom-predict",
        in_log="boom-predict",
    ),
}


def test_the_table_has_a_row_for_each_failure() -> None:
    """But for a model that is unknown: of it there is no deployment."""
    assert {name.partition(",")[0] for name in TABLE} == {
        "version deleted", "artifact store down", "requirement not found", "requirement that conflicts",
        "build killed", "disk full", "load raises", "load hangs", "import kills the process",
        "probe never ready", "input example fails",
    }  # fmt: skip


def test_where_its_port_is_taken_it_gets_live_all_the_same(world: World) -> None:
    """Its socket is made in a folder of its own; whatever is there in its place is put aside."""
    last = max(pk for (pk,) in world.asked("SELECT id FROM endpoints_replica"))
    sockets = Home(world.studio.home).sockets
    taken = [sockets / f"replica-{pk}" for pk in range(last + 1, last + 4)]
    for path in taken:
        path.touch()
    place = world.deploy("port-taken")
    world.mended(place)
    for path in taken:
        if path.is_file():
            path.unlink()


def test_a_model_that_is_unknown_is_refused_at_the_click(world: World) -> None:
    wanted = {"name": "unknown", "model_uri": "models:/no-such-model/1"}
    refused = world.api.post("/api/v1/endpoints/victims/deployments", json=wanted)
    assert refused.status_code == 404
    assert "no-such-model" in refused.json()["error"]["message"]
    assert world.api.get("/api/v1/endpoints/victims/deployments/unknown").status_code == 404


@pytest.mark.parametrize("name", TABLE)
def test_it_fails_plainly_leaves_nothing_and_gets_further_when_tried_again(
    world: World, name: str, tmp_path: Path
) -> None:
    row, place = TABLE[name], ""
    if name.startswith("disk full") and not may_mount(tmp_path):
        pytest.skip("a small disk can be mounted by root only, and not in every container")

    def click() -> str:
        nonlocal place
        place = world.deploy(re.sub(r"\W+", "-", name), row.model)
        return place

    with row.cause(world, click):
        told = until(lambda: settled(world, place), "it has failed or is live", 40)
        log = log_of(world, place)
        half_built = world.half_built()
    assert (told["state"], told["step"], told["traffic"]) == ("failed", row.step, 0)
    assert re.fullmatch(row.reason, told["reason"], re.DOTALL), told["reason"]
    assert row.detail in told["detail"]
    assert row.in_log in log
    assert f"FAILED: {told['reason']}" in log
    assert half_built == []
    assert world.uvs() == []
    until(world.settled, "nothing of it runs", 15)
    world.api.post(f"{place}/retry").raise_for_status()
    until(lambda: past(world, place, row.step), "it gets further when it is tried again", 40)
    assert log_of(world, place, attempt=1) == log
    world.api.delete(place).raise_for_status()


def settled(world: World, place: str) -> dict[str, Any] | None:
    told = world.told(place)
    return told if told.get("state") in ("live", "failed") else None


def log_of(world: World, place: str, **query: int) -> str:
    return "\n".join(world.api.get(f"{place}/logs", params=query).json()["items"])


def past(world: World, place: str, step: str) -> bool:
    told = world.told(place)
    assert told.get("state") != "failed", told
    order = [*map(str, STEPS), "live"]
    return told.get("attempt") == 2 and told["state"] in order[order.index(step) + 1 :]
