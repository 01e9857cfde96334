"""What web's workers count: the sum of all, which never goes backwards, and which costs a request next to nothing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import psutil
import pytest

from studio.health import counters
from studio.health.counters import Counters, Shared
from tests.support.processes import running
from tests.support.web import ROOT

KEY = ("http_requests", "home", "GET", "2xx")


def counted(shared: Shared) -> float:
    return shared.total().counts.get(KEY, 0)


def another(folder: Path, requests: int, then: str = "") -> None:
    """A worker that counts, tells, and ends."""
    code = f"""
import django; django.setup()
from pathlib import Path
from studio.health.counters import Counters, Shared
own = Counters()
shared = Shared(Path({str(folder)!r}), own)
for _ in range({requests}): own.note("home", "GET", 200, 0.01)
shared.write()
{then}
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "studio.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


def test_one_worker_tells_what_it_has_counted(tmp_path: Path) -> None:
    own = Counters()
    own.note("home", "GET", 200, 0.02)
    own.note("home", "BREW", 418, 0.02)
    own.note_reference(503, 0.5)
    own.note_reference(None, 5.0)
    with own.in_flight:
        total = Shared(tmp_path, own).total()
    assert total.counts == {
        KEY: 1,
        ("http_requests", "home", "other", "4xx"): 1,
        ("reference_requests", "5xx"): 1,
        ("reference_requests", "none"): 1,
    }
    assert total.times["http_request", "home"][-1] == pytest.approx(0.04)
    assert (total.in_flight, own.in_flight.number) == (1, 0)


def test_the_sum_of_workers_that_live_and_that_have_died_never_goes_backwards(
    tmp_path: Path,
) -> None:
    own = Counters()
    shared = Shared(tmp_path, own)
    own.note("home", "GET", 200, 0.01)
    assert counted(shared) == 1
    another(tmp_path, 5, "own.in_flight.__enter__(); shared.write()")
    assert counted(shared) == 6
    assert shared.total().in_flight == 0  # of one that has died nothing is under way
    own.note("home", "GET", 200, 0.01)
    another(tmp_path, 3)
    assert [counted(shared) for _ in range(3)] == [10, 10, 10]
    assert len(list(tmp_path.glob("*-*.json"))) == 1  # who has died is in the base


def test_a_death_between_adding_to_the_base_and_removing_the_file_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared(tmp_path, Counters())
    another(tmp_path, 5)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    assert [counted(shared) for _ in range(3)] == [5, 5, 5]
    monkeypatch.undo()
    assert [counted(shared) for _ in range(2)] == [5, 5]
    assert len(list(tmp_path.glob("*-*.json"))) == 1  # its own
    another(tmp_path, 1)
    assert counted(shared) == 6


def test_another_of_the_same_pid_is_somebody_else(tmp_path: Path) -> None:
    told = {"counts": [[*KEY, 7]], "times": [], "in_flight": 3}
    (tmp_path / f"{os.getpid()}-12345.00.json").write_text(json.dumps(told))
    total = Shared(tmp_path, Counters()).total()
    assert (total.counts[KEY], total.in_flight) == (7, 0)


def test_a_clock_that_is_set_makes_nobody_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Counters()
    own.note("home", "GET", 200, 0.01)
    shared = Shared(tmp_path, own)
    with running(["sleep", "60"]) as child:
        told = {"counts": [[*KEY, 7]], "times": [], "in_flight": 3}
        theirs = tmp_path / f"{counters._name(child.pid)}.json"
        theirs.write_text(json.dumps(told))
        assert (counted(shared), shared.total().in_flight) == (8, 3)
        before = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda one: before(one) + 3600)
        own.note("home", "GET", 200, 0.01)
        assert (counted(shared), shared.total().in_flight) == (9, 3)
    assert (counted(shared), shared.total().in_flight, theirs.exists()) == (9, 0, False)


def test_threads_that_write_and_ask_at_once_are_in_nobodys_way(tmp_path: Path) -> None:
    own = Counters()
    shared = Shared(tmp_path, own)

    def work(ask: bool) -> list[float]:
        told = []
        for _ in range(50):
            own.note("home", "GET", 200, 0.01)
            if ask:
                told.append(counted(shared))
            else:
                shared.write()
        return told

    with ThreadPoolExecutor(4) as threads:
        for told in threads.map(work, [True, False, True, False]):
            assert told == sorted(told)
    assert counted(shared) == 200


def test_a_full_disk_takes_nothing_from_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Counters()
    shared = Shared(tmp_path, own)
    own.note("home", "GET", 200, 0.01)
    shared.write()
    another(tmp_path, 5)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert counted(shared) == 6  # its own file is as it should be, the base cannot be written
    own.note("home", "GET", 200, 0.01)
    with own.in_flight:
        assert [counted(shared) for _ in range(2)] == [7, 7]
        assert shared.total().in_flight == 1
    monkeypatch.undo()
    own.note("home", "GET", 200, 0.01)
    assert [counted(shared) for _ in range(2)] == [8, 8]


def test_where_there_can_be_no_folder_a_worker_tells_of_itself(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    own = Counters()
    own.note("home", "GET", 200, 0.01)
    assert counted(Shared(tmp_path / "taken" / "web-8000", own)) == 1


def test_a_file_that_was_broken_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "1-1.00.json").write_text('{"counts": [')
    own = Counters()
    own.note("home", "GET", 200, 0.01)
    assert counted(Shared(tmp_path, own)) == 1


def test_who_makes_up_routes_gets_one_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "MOST", 3)
    own = Counters()
    for number in range(10):
        own.note(f"route-{number}", "GET", 200, 0.01)
    routes = {key[1] for key in Shared(tmp_path, own).total().counts}
    assert routes == {"route-0", "route-1", "route-2", "other"}


def test_counting_costs_a_request_less_than_a_tenth_of_a_millisecond() -> None:
    own = Counters()
    took = []
    for _ in range(20):
        began = perf_counter()
        for _ in range(100):
            with own.in_flight:
                own.note("experiments/<int:pk>/", "GET", 200, 0.0123)
        took.append((perf_counter() - began) / 100)
    assert min(took) < 0.0001
