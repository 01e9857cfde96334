"""A worker's process is killed alone, as the kernel does for want of memory: its uv goes on without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest
from django.conf import settings

from endpoints import environments, interpreters
from endpoints.requirements import Requirements
from tests.support.index import Index, index
from tests.support.processes import runs, until

_KEY = "orphaned"
_BUILD = """
import sys, threading
from pathlib import Path
import django
django.setup()
from endpoints import environments
from endpoints.requirements import Requirements
wanted = Requirements(("tiny",), "")
environments.build(wanted, Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), print, threading.Event())
"""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    with index("tiny-1.0") as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", served.url())
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        served.delay = 30
        yield served


def uvs() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if any(f"/{_KEY}." in part for part in command):
            found.append(process)
    return found


def test_the_next_builder_ends_it_and_nothing_of_it_is_left(slow: Index, tmp_path: Path) -> None:
    _, python = interpreters.own()
    command = [sys.executable, "-c", _BUILD, str(python), _KEY, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        until(lambda: slow.asked, "uv asks the index")
        worker.kill()
    orphans = uvs()
    assert [process for process in orphans if runs(process)]
    slow.delay = 0
    place = environments.build(
        Requirements(("tiny",), ""), python, _KEY, tmp_path, lambda line: None, Event()
    )
    assert [process for process in orphans if runs(process)] == []
    found = {path.name for path in settings.HOME.environments.glob(f"{_KEY}*")}
    assert found == {place.name, f"{_KEY}.lock"}
