"""`manage.py run NAME`: one process of Studio in the foreground, for hosts that share PostgreSQL and Redis."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from studio.launch import assets, before, hosts, programs
from studio.launch.ports import require_free_port

# What has to do with model servers: they share the STUDIO_HOME of the agent.
_WITH_MODELS = {"gateway", "worker", "agent"}


def names() -> list[str]:
    return [program.name for program in programs.services()]


def run(name: str) -> NoReturn:
    """Become that process. Raises ImproperlyConfigured, with one line, where it cannot join the others."""
    hosts.require_given()
    before.refuse_what_cannot_work()
    before.refuse_artifacts_out_of_reach()
    settings.HOME.require_whole()
    _hold(name)
    hosts.require_prepared()
    hosts.require_common()
    if name in _WITH_MODELS:
        hosts.require_agent_here(f"The {name}")
    if name == "web":
        require_free_port("STUDIO_PORT", settings.PORT)
        assets.collect()
    if name == "gateway":
        require_free_port("STUDIO_SCORING_PORT", settings.SCORING_PORT)
    connections.close_all()
    [program] = [one for one in programs.services() if one.name == name]
    command = program.command()
    os.execve(command[0], command, programs.child_environment(""))  # noqa: S606 - no shell


def _hold(name: str) -> None:
    """Be the only process of this name in this home, and keep `up` out of it, for as long as it lives.

    The locks are passed on through exec.
    """
    _lock(
        settings.HOME.lock,
        fcntl.LOCK_SH,
        f"`manage.py up` runs from {settings.HOME.root}, and runs the {name} too: "
        "stop it, or set STUDIO_HOME to another folder",
    )
    _lock(
        settings.HOME.root / f"run-{name}.lock",
        fcntl.LOCK_EX,
        f"The {name} already runs from {settings.HOME.root}: stop it, or set STUDIO_HOME to another folder",
    )


def _lock(path: Path, kind: int, refusal: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ImproperlyConfigured(refusal) from None
    os.set_inheritable(descriptor, True)
