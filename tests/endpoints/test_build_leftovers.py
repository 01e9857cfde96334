"""What a build leaves running, or has running when it is ended: nothing of it stays, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from endpoints import environments
from endpoints.environments import Cancelled
from tests.support.builds import PYTHON, Builder, own_index
from tests.support.index import Index, wheel
from tests.support.processes import runs, until

# It leaves its session, is nobody's child, and holds the output open of whoever starts it.
_DAEMON = """
import os, pathlib, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pathlib.Path({pid!r}).write_text(str(os.getpid()))
        os.write(write, b"!")
        time.sleep(40)
    os._exit(0)
os.wait()
os.read(read, 1)
"""
_GOES_ON = "\ntime.sleep(40)\n"
_BUILD = """
import sys
from pathlib import Path
import django
django.setup()
from tests.support.builds import Builder
builder = Builder(Path(sys.argv[1]), "own")
builder.key = sys.argv[2]
builder.build(("own",))
"""


@pytest.fixture
def pypi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setattr(environments, "_TICK", 0.1)
    with own_index(tmp_path / "cache", monkeypatch) as served:
        yield served


@pytest.fixture
def builder(pypi: Index, tmp_path: Path) -> Builder:
    folder = tmp_path / "model"
    folder.mkdir()
    return Builder(folder, "own")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def own(pypi: Index, builder: Builder, code: str) -> None:
    """The package that the model needs, and what its import does."""
    name, content = wheel("own-1.0", code=code.format(pid=str(builder.model / "pid")))
    pypi.files[name] = content


def daemon(builder: Builder) -> psutil.Process | None:
    path = builder.model / "pid"
    try:
        return psutil.Process(int(path.read_text())) if path.exists() else None
    except (psutil.NoSuchProcess, ValueError):
        return None


def test_a_daemon_that_an_import_leaves_holds_nobody_up_and_is_ended(
    pypi: Index, builder: Builder, threads: ThreadPoolExecutor
) -> None:
    own(pypi, builder, _DAEMON)
    place = threads.submit(builder.build, ("own",)).result(20)
    assert place.exists()
    assert any(line.startswith("compiled in ") for line in builder.log)
    assert (builder.model / "pid").read_text()
    until(lambda: (left := daemon(builder)) is None or not runs(left), "the daemon has ended", 5)


def test_who_stops_waiting_does_not_wait_for_a_daemon(
    pypi: Index, builder: Builder, threads: ThreadPoolExecutor
) -> None:
    own(pypi, builder, _DAEMON + _GOES_ON)
    future = threads.submit(builder.build, ("own",))
    left = until(lambda: daemon(builder), "it is imported")
    builder.lost.set()
    with pytest.raises(Cancelled):
        future.result(5)
    until(lambda: not runs(left), "the daemon has ended", 5)
    assert builder.left() == set()


@pytest.mark.parametrize("ending", ["os.close(1); os.close(2)", "print('...', end='', flush=True)"])
def test_without_an_end_of_its_output_or_a_line_it_is_told_that_it_goes_on(
    pypi: Index, builder: Builder, threads: ThreadPoolExecutor, ending: str
) -> None:
    writing = f"while True: {ending}; time.sleep(0.02)" if "print" in ending else ending
    own(pypi, builder, f"import os, time\n{writing}{_GOES_ON}")
    future = threads.submit(builder.build, ("own",))

    def told() -> int:
        since = builder.log[builder.log.index("compiling what a model server imports") :]
        return sum(line.startswith("still at it") for line in since)

    until(lambda: builder.log and "compiling" in builder.told(), "it is imported")
    until(lambda: told() > 15, "it is told")
    builder.lost.set()
    with pytest.raises(Cancelled):
        future.result(5)


def test_all_lines_of_one_that_ends_at_once_are_told(builder: Builder) -> None:
    code = "import sys; sys.stdout.write(''.join(f'{n}\\n' for n in range(5000)) + '\\xe4\\r\\n\\nend')"
    told: list[str] = []
    environment = {environments._MARK: "some", "PYTHONIOENCODING": "utf-8"}
    command = [str(PYTHON), "-c", code]
    assert environments._run(command, builder.model, environment, told.append, builder.lost) == 0
    assert [line for line in told if not line.startswith("still")] == [
        *map(str, range(5000)),
        "ä",
        "end",
    ]


def test_a_daemon_of_a_killed_worker_is_ended_by_the_next_builder(
    pypi: Index, builder: Builder
) -> None:
    own(pypi, builder, _DAEMON + _GOES_ON)
    command = [sys.executable, "-c", _BUILD, str(builder.model), builder.key]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        left = until(lambda: daemon(builder), "it is imported")
        worker.kill()
    assert runs(left)
    builder.build()
    until(lambda: not runs(left), "the daemon has ended", 5)
    assert builder.left() == {builder.key}
