"""How the agent starts a process: with nothing of Studio's in its environment, and leading a group of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from django.conf import settings

from endpoints import logs

if TYPE_CHECKING:
    from endpoints.agent.accounts import Account

RUNTIME = Path(settings.BASE_DIR) / "endpoints" / "runtime"
_LEFT = ".left"  # the end of a folder's name that is being deleted
_PATIENCE = 5.0  # seconds to delete one
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")


def spawn(
    command: Sequence[str], folder: Path, log: Path, account: Account | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, its output added to `log`. It outlives the agent. Raises OSError."""
    home = {"HOME": str(folder)} if account is not None else {}  # root's is closed to others
    with logs.for_output(log) as output:
        return subprocess.Popen(
            account.command(command) if account is not None else command,
            cwd=folder,
            env=environment() | home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **(account.options() if account is not None else {}),
        )


def fresh_folder(path: Path) -> Path:
    """An empty folder at `path`, whatever was there, and whatever still ran in it."""
    end_strangers(path, set())
    remove_folder(path)
    path.mkdir(parents=True)
    return path


def remove_folder(path: Path) -> None:
    """Delete what a model may have written to, however deep. What does not go at once goes later."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_LEFT}")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        path.rename(aside)
        _remove(aside)


def remove_left(parent: Path) -> None:
    """Delete what could not be deleted before."""
    for path in parent.glob(f"*{_LEFT}"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            _remove(path)


def _remove(path: Path) -> None:
    # Python's own way calls itself for each level, and so fails on a thousand of them.
    command = ["rm", "-rf", "--one-file-system", "--", str(path)]
    subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_PATIENCE, check=False)


def end_strangers(place: Path, known: set[int]) -> None:
    """Kill what runs in a folder below `place`, or in it, and is in no session of these pids.

    An agent that is killed while it starts a process has told nobody of it.
    """
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{pid}/cwd").readlink()
            if folder.is_relative_to(place) and os.getsid(pid) not in known:
                os.kill(pid, signal.SIGKILL)


def environment() -> dict[str, str]:
    """What a model may see of the machine: no address, no key, no token of Studio's."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {
        "PYTHONPATH": str(RUNTIME),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    return passed | own
