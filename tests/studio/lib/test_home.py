"""STUDIO_HOME: secrets that are made once, and sockets with names that are short enough."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest

from studio.lib.home import Home, private_folder

ROOT = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = home.secret("key")
    assert len(first) >= 40
    assert home.secret("key") == first
    assert home.secret("another") != first
    assert mode(tmp_path / "home" / "secrets" / "key") == 0o600
    assert mode(tmp_path / "home" / "secrets") == 0o700


def test_a_secret_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Home(tmp_path / "home").secret("key")
    finally:
        os.umask(before)
    assert mode(tmp_path / "home" / "secrets" / "key") == 0o600


def test_who_asks_at_the_same_time_gets_the_same_secret(tmp_path: Path) -> None:
    """Both have seen that there is none before either makes one; the second is slow to make its own."""
    home, together, made = Home(tmp_path / "home"), Barrier(2, timeout=10), Event()

    def first() -> str:
        together.wait()
        return "one"

    def second() -> str:
        together.wait()
        assert made.wait(10)
        return "two"

    with ThreadPoolExecutor(2) as pool:
        quick = pool.submit(home.secret, "key", first)
        slow = pool.submit(home.secret, "key", second)
        assert quick.result(10) == "one"
        made.set()
        assert slow.result(10) == "one"
    assert home.secret("key") == "one"
    assert [path.name for path in (tmp_path / "home" / "secrets").iterdir()] == ["key"]


def test_processes_that_ask_at_the_same_time_get_the_same_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from studio.lib.home import Home; sys.stdin.readline();"
        "print(Home(Path(sys.argv[1])).secret('key'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "home")]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate(timeout=20)[0].strip() for process in processes}
    assert told == {Home(tmp_path / "home").secret("key")}


def test_sockets_lie_in_the_home(tmp_path: Path) -> None:
    home = Home(Path("/srv/studio"))
    assert home.sockets == Path("/srv/studio/run")
    assert home.reference_socket == Path("/srv/studio/run/reference.sock")


@pytest.mark.parametrize("name", ["x" * 200, "é" * 40])
def test_sockets_of_a_home_with_a_long_path_lie_elsewhere(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    home.make()
    try:
        assert not home.sockets.is_relative_to(home.root)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(home.sockets / ("s" * 40)))
        assert home.sockets.stat().st_uid == os.geteuid()
        assert not mode(home.sockets) & 0o066
        (home.sockets / ("s" * 40)).unlink()
    finally:
        home.sockets.rmdir()


def test_two_homes_with_long_paths_have_sockets_of_their_own(tmp_path: Path) -> None:
    first, second = Home(tmp_path / ("x" * 200)), Home(tmp_path / ("x" * 199 + "y"))
    assert first.sockets != second.sockets
    assert first.sockets == Home(first.root).sockets


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        private_folder(tmp_path)
    os.chown(tmp_path, 0, -1)
