"""How the agent starts a process: with nothing of Studio's in its environment, and leading a group of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from endpoints import logs

if TYPE_CHECKING:
    from endpoints.agent.accounts import Account

RUNTIME = Path(settings.BASE_DIR) / "endpoints" / "runtime"
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
    """An empty folder at `path`, whatever was there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


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
