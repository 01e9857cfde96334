"""A process joins the others of one Studio only if it shares with them what it must."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now
from pytest_django import Settings

from endpoints.agent import agent as agents
from endpoints.models import Agent
from studio.launch import hosts
from studio.launch.models import Common
from studio.lib import artifacts
from studio.lib.home import STORE_ID
from tests.support.processes import until

GIVEN = {
    "DATABASE_URL": "postgresql:///x",
    "REDIS_URL": "redis://x",
    "STUDIO_SECRET_KEY": "k" * 40,
    "STUDIO_ARTIFACTS": "/x",
}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_stores(settings: Settings, tmp_path: Path) -> None:
    settings.POSTGRES_EMBEDDED = settings.REDIS_EMBEDDED = False
    settings.ARTIFACTS = tmp_path / "artifacts"


def refusal(join: Callable[[], None]) -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        join()
    told = str(refused.value)
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("DATABASE_URL", "the embedded PostgreSQL belongs to `manage.py up`"),
        ("REDIS_URL", "the embedded Redis belongs to `manage.py up`"),
        ("STUDIO_SECRET_KEY", "to be given, the same on all hosts, when further hosts join"),
        ("STUDIO_ARTIFACTS", "an object store, or a path that all hosts share"),
    ],
)
def test_what_one_host_alone_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    hosts.require_given()
    monkeypatch.setenv(missing, "")
    assert refusal(hosts.require_given).startswith(f"{missing} is not set: {told}")
    with pytest.raises(CommandError, match=missing):
        call_command("run", "web")


def test_a_database_of_another_version_is_refused_with_the_command_that_helps() -> None:
    hosts.require_prepared()
    migrations = MigrationRecorder.Migration.objects
    newer = migrations.create(app="endpoints", name="9999_of_tomorrow")
    assert "newer Studio" in refusal(hosts.require_prepared)
    newer.delete()
    migrations.create(app="an app of somebody else", name="0001_initial")
    hosts.require_prepared()
    migrations.filter(app="launch").delete()
    assert "run `manage.py prepare` once" in refusal(hosts.require_prepared)


def test_the_first_settles_what_the_others_must_have(settings: Settings, tmp_path: Path) -> None:
    assert "`manage.py prepare`" in refusal(hosts.require_common)
    hosts.settle(anew=False)
    hosts.require_common()
    hosts.settle(anew=False)  # again, at its next start
    mark = (settings.ARTIFACTS / STORE_ID).read_text().strip()
    assert Common.objects.get().artifacts == mark

    moved = tmp_path / "mounted elsewhere"
    settings.ARTIFACTS.rename(moved)
    settings.ARTIFACTS = moved  # the same folder by another path
    hosts.require_common()


@pytest.mark.parametrize("contents", [None, "", "another folder's id\n"])
def test_a_folder_that_is_not_the_others_is_refused(
    settings: Settings, tmp_path: Path, contents: str | None
) -> None:
    hosts.settle(anew=False)
    settings.ARTIFACTS = tmp_path / "not mounted"
    if contents is not None:
        settings.ARTIFACTS.mkdir()
        (settings.ARTIFACTS / STORE_ID).write_text(contents)
    told = refusal(hosts.require_common)
    assert told.startswith(
        f"STUDIO_ARTIFACTS={settings.ARTIFACTS} is not the folder that the other hosts use"
    )
    assert refusal(lambda: hosts.settle(anew=False)) == told  # `up` and `prepare` too
    hosts.settle(anew=True)  # as it says
    hosts.require_common()


def test_an_object_store_is_known_by_its_address(settings: Settings) -> None:
    settings.ARTIFACTS = "s3://bucket/prefix"
    hosts.settle(anew=False)
    settings.ARTIFACTS = "s3://bucket/other"
    told = refusal(hosts.require_common)
    assert told.startswith("STUDIO_ARTIFACTS=s3://bucket/other is not the store")


def test_another_secret_key_is_refused(settings: Settings) -> None:
    hosts.settle(anew=False)
    settings.SECRET_KEY = "another key, as long as the first one was"
    told = refusal(hosts.require_common)
    assert told.startswith("STUDIO_SECRET_KEY is not the key that the other hosts use")
    assert "another key" not in told


def test_who_has_an_embedded_database_has_no_others_and_may_change_both(
    settings: Settings, tmp_path: Path
) -> None:
    settings.POSTGRES_EMBEDDED = True
    hosts.settle(anew=False)
    settings.ARTIFACTS = tmp_path / "new place"
    settings.SECRET_KEY = "another key, as long as the first one was"
    hosts.settle(anew=False)
    hosts.require_common()


def test_a_folder_that_cannot_be_written_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.ARTIFACTS = tmp_path / "file" / "below"
    assert refusal(lambda: hosts.settle(anew=False)).startswith(
        f"STUDIO_ARTIFACTS={settings.ARTIFACTS} cannot be written"
    )


def test_a_folder_of_somebody_else_is_not_called_another_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.settle(anew=False)

    def closed(path: Path, *given: object, **more: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", closed)
    assert "cannot be read: Permission denied" in refusal(hosts.require_common)


def other_agent(silent_for: float = 1) -> None:
    seen = now() - timedelta(seconds=silent_for)
    Agent.objects.create(host="models-1", home="of another host", pid=os.getpid(), seen_at=seen)


def test_where_the_agent_of_another_home_lives_nothing_that_needs_one_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_agent()
    sleeps: list[float] = []

    def beat(seconds: float) -> None:
        """What the other agent does meanwhile, after three seconds at the latest."""
        sleeps.append(seconds)
        if len(sleeps) == 3:
            Agent.objects.update(seen_at=now())

    monkeypatch.setattr(time, "sleep", beat)
    told = refusal(lambda: hosts.require_agent_here("The worker"))
    assert told.startswith("The worker belongs on the host of the agent, which runs on models-1")


def test_an_agent_that_has_just_died_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    other_agent()
    monkeypatch.setattr(hosts, "_BEAT", 0.05)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hosts.require_agent_here("The agent")


@pytest.mark.parametrize("home", ["", "own"])
def test_the_agent_of_this_home_is_no_stranger_whatever_its_host_was_called(
    settings: Settings, home: str
) -> None:
    Agent.objects.create(
        host="container-of-yesterday",
        home=home and settings.HOME.id,
        pid=1,
        seen_at=now(),
    )
    hosts.require_agent_here("The agent")


def an_hour_late() -> datetime:
    return now() - timedelta(hours=1)


def test_an_agent_tells_of_itself_by_the_clock_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agents, "now", an_hour_late)
    this: Any = SimpleNamespace(host="models-1", home="x")
    agents.Agent.beat(this)
    assert Agent.objects.get().seen_at > now() - timedelta(minutes=1)


def test_a_host_whose_clock_is_wrong_knows_an_agent_that_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_agent(silent_for=60)
    monkeypatch.setattr(hosts, "now", an_hour_late, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits for one that has gone"))
    hosts.require_agent_here("The agent")


def test_an_agent_that_looks_at_many_replicas_between_two_signs_of_life_is_waited_for() -> None:
    assert agents._BEAT + 5 < hosts._BEAT < hosts._SILENT.total_seconds()


def test_a_store_that_hangs_is_looked_at_once_and_any_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    goes_on = Event()

    def check() -> None:
        looks.append(1)
        goes_on.wait(10)
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(artifacts, "root", lambda: SimpleNamespace(check=check))
    monkeypatch.setattr(artifacts, "_LOOK_AGAIN", 0.0)
    watch = artifacts._Watch()
    assert [watch.told() for _ in range(3)] == ["", "", ""]
    assert looks == [1]
    goes_on.set()
    assert "Stale file handle" in until(watch.told, "it is told")
