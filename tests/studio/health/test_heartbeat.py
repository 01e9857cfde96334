"""Signs of life: what a process tells of itself, of errors and of requests, whatever the database does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic, time

import psycopg
import pytest
from django.db import connection
from django.utils.timezone import now
from pytest_django import Settings

from studio.health.models import Failure, Process, Window
from studio.health.windows import Windows
from studio.lib import heartbeat, logs
from studio.lib.database import embedded_url
from studio.lib.heartbeat import Heartbeat, Subject, Wire
from studio.lib.memory import descendants, memory_of
from tests.support.processes import running, until

Make = Callable[..., Heartbeat]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def of_the_tests(
    transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The database of the tests, without what killed processes have left there, and a heart that beats faster."""
    Process.objects.all().delete()
    given = {name: str(value) for name, value in connection.settings_dict.items()}
    settings.DATABASE_URL = embedded_url(
        Path(given["HOST"]), given["USER"], given["PASSWORD"], given["NAME"]
    )
    monkeypatch.setattr(heartbeat, "EVERY", 0.1)
    logs.failures.clear()
    yield
    logs.failures.clear()


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Heartbeat] = []

    def start(*given: object, **more: object) -> Heartbeat:
        made.append(Heartbeat(*given, **more).start())  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.stop()


def row(name: str = "web") -> Process | None:
    return Process.objects.filter(name=name).first()


def the(name: str = "web") -> Process:
    return until(lambda: row(name), f"the row of {name}")


def test_a_process_tells_that_it_is_here_and_goes_with_a_goodbye(make: Make) -> None:
    heart = make("web")
    found = the()
    assert (found.pid, found.host, found.alive) == (os.getpid(), heart.host, True)
    assert found.memory > 20_000_000
    assert now() - found.started_at < timedelta(seconds=10)
    until(lambda: the().seen_at > found.seen_at, "the next beat")
    assert Process.objects.count() == 1
    heart.stop()
    until(lambda: row() is None, "its row has gone")  # `stop` waits a second, no longer


def test_a_row_that_was_removed_is_written_anew(make: Make) -> None:
    make("web")
    first = the()
    Process.objects.all().delete()
    assert the().pk != first.pk


def test_it_speaks_for_those_who_cannot_until_they_are_gone(make: Make) -> None:
    others: list[Subject] = []
    with running(["sleep", "60"]) as child:
        others.append(Subject("postgres", child.pid))
        make("up", None, lambda: others)
        assert the("postgres").pid == child.pid
        others.clear()
        until(lambda: row("postgres") is None, "its row has gone")
        assert row("up")


def test_errors_are_told_once_and_only_the_newest_are_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "KEPT", 3)
    for number in range(5):
        message = f"e{number}\0"
        logs.failures.append(logs.Failure(time(), "web", "home", "KeyError", message, "id-1"))
    make("web")
    until(lambda: not logs.failures, "all errors are told")
    until(lambda: Failure.objects.count() == 3, "the old ones have gone")
    assert [one.message for one in Failure.objects.all()] == ["e4", "e3", "e2"]
    newest = Failure.objects.all()[0]
    assert (newest.route, newest.kind, newest.request_id) == ("home", "KeyError", "id-1")


def test_letters_that_are_none_are_told_as_far_as_they_can_be(make: Make) -> None:
    for message in ("a\ud800b", "c"):
        logs.failures.append(logs.Failure(time(), "web", "home", "KeyError", message, ""))
    make("web")
    until(lambda: Failure.objects.count() == 2, "both errors")
    assert {one.message for one in Failure.objects.all()} == {"a?b", "c"}


@pytest.mark.usefixtures("one_window")
def test_how_long_requests_took_is_told_and_told_anew(make: Make) -> None:
    windows = Windows()
    windows.note("GET home", 0.1)
    make("web", windows)
    until(lambda: Window.objects.count() == 1, "the window")
    windows.note("GET home", 0.2)
    until(lambda: Window.objects.get().routes["GET home"][0] == 2, "what has changed in it")


def test_without_a_row_of_its_own_it_tells_of_errors_alone(make: Make) -> None:
    make("worker", own_row=False)
    logs.failures.append(logs.Failure(time(), "worker", "a.task", "KeyError", "", ""))
    until(lambda: Failure.objects.count() == 1, "the error")
    assert Process.objects.count() == 0


def test_a_database_that_goes_away_is_waited_for_and_nothing_is_lost(
    make: Make, settings: Settings
) -> None:
    good = settings.DATABASE_URL
    make("web")
    the()
    settings.DATABASE_URL = good.replace("host=", "host=/nowhere")
    with psycopg.connect(good, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'studio-heartbeat'"
        )
    seen = the().seen_at
    logs.failures.append(logs.Failure(time(), "web", "home", "OperationalError", "", ""))
    settings.DATABASE_URL = good
    until(lambda: the().seen_at > seen, "it beats again")
    until(lambda: Failure.objects.count() == 1, "the error of meanwhile")


def test_what_apps_want_written_goes_along_and_is_asked_for_again_after_a_failure(
    make: Make,
) -> None:
    asked: list[object] = []

    def news(wire: Wire) -> None:
        asked.append(wire.execute("SHOW synchronous_commit").fetchone())
        if len(asked) == 1:
            raise psycopg.OperationalError("away")

    make("web", news=[news])
    until(lambda: len(asked) > 2, "the beats after it")
    assert set(asked) == {("off",)}


def test_what_apps_want_written_goes_along_at_the_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 3600)
    asked: list[object] = []
    heart = make("web", news=[asked.append])
    until(lambda: asked, "the first beat")
    heart.stop()
    assert len(asked) == 2


def test_a_table_that_is_locked_does_not_hold_up_the_end(make: Make, settings: Settings) -> None:
    heart = make("web")
    the()
    with psycopg.connect(settings.DATABASE_URL) as other:
        other.execute("LOCK TABLE health_process IN ACCESS EXCLUSIVE MODE")
        until(lambda: _waits(other), "a beat waits for the lock")
        began = monotonic()
        heart.stop()
        assert monotonic() - began < 8  # and not until the lock is let go


def _waits(wire: psycopg.Connection[tuple[object, ...]]) -> bool:
    asked = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'studio-heartbeat' AND wait_event_type = 'Lock'"
    return wire.execute(asked).fetchone() is not None


def test_memory_is_that_of_a_process_and_of_all_it_has_started() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        [child] = descendants(parent.pid)
        assert memory_of(parent.pid) > memory_of(child) > 0
        os.kill(child, 15)
    assert descendants(parent.pid) == []


def test_the_end_of_up_is_that_of_all_it_has_started(make: Make) -> None:
    up, other = make("up", mark="one"), make("gateway", mark="two")
    killed = the("up")
    killed.pk, killed.name = None, "web"
    killed.save()
    the("gateway")
    up.stop()
    until(lambda: row("web") is None and row("up") is None, "the rows of up have gone")
    assert [one.name for one in Process.objects.all()] == ["gateway"]
    other.stop()
