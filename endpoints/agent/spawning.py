"""How the agent starts a process: with nothing of Studio's in its environment, and leading a group of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

RUNTIME = Path(settings.BASE_DIR) / "endpoints" / "runtime"
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")


def spawn(command: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, its output added to `log`. It outlives the agent. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def fresh_folder(path: Path) -> Path:
    """An empty folder at `path`, whatever was there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _environment() -> dict[str, str]:
    """What a model may see of the machine: no address, no key, no token of Studio's."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {
        "PYTHONPATH": str(RUNTIME),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    return passed | own
