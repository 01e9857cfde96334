"""Which replicas run on this host, in a file: for whoever ends them when no agent is there to do it.

The rows say so too. But a database may be away, and the rows are behind by a moment.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from studio.lib.processes import Identity


def write(running: Iterable[Identity]) -> None:
    """Note all that run now, in the place of what was noted before."""
    told = json.dumps([[identity.pid, identity.started] for identity in running])
    draft = _path().with_suffix(".new")
    draft.write_text(told)
    draft.replace(_path())


def read() -> list[Identity]:
    """Those that were noted last. They may have ended since."""
    try:
        return [Identity(pid, started) for pid, started in json.loads(_path().read_text())]
    except (FileNotFoundError, ValueError):  # a machine that crashed may leave it empty
        return []


def end_all(seconds: float) -> None:
    """End those that are noted and still run: asked to, given that long, then killed. None is noted afterwards."""
    noted = read()
    for identity in noted:
        identity.kill_group(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(map(Identity.alive, noted)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for identity in noted:
        identity.kill_group(signal.SIGKILL)
    _path().unlink(missing_ok=True)


def _path() -> Path:
    return Path(settings.HOME.root) / "replicas.json"
