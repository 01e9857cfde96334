"""How Studio stands on this machine, for `manage.py status`: what runs, since when, with how much memory."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import httpx
import psutil
from django.conf import settings

from studio.lib import database, redis
from studio.lib.processes import Identity

_PATIENCE = 30.0  # seconds: /healthz waits for each part that does not answer


@dataclass(frozen=True, slots=True)
class Standing:
    """One process of Studio. `pid` is None when it is not there."""

    name: str
    state: str
    pid: int | None
    restarts: int = 0

    @property
    def seconds(self) -> float | None:
        """Since its start."""
        try:
            return time.time() - psutil.Process(self.pid).create_time() if self.pid else None
        except psutil.Error:
            return None

    @property
    def memory(self) -> int | None:
        """Bytes that it holds with all it has started; what several hold in common is counted in parts (PSS)."""
        if not self.pid:
            return None
        try:
            leader = psutil.Process(self.pid)
            family = [leader, *leader.children(recursive=True)]
            return sum(one.memory_full_info().pss for one in family)
        except (psutil.Error, OSError, AttributeError):  # another user's, or a system without PSS
            return None


def processes() -> list[Standing]:
    """What `up` wrote down, checked against what is there now."""
    if not settings.HOME.processes.exists():
        return []
    found = []
    for told in json.loads(settings.HOME.processes.read_text())["processes"]:
        alive = told["pid"] and Identity(told["pid"], told["started"]).alive()
        state, pid = (told["state"], told["pid"]) if alive else ("down", None)
        found.append(Standing(told["name"], state, pid, told.get("restarts", 0)))
    return found


def health() -> tuple[bool, list[str]]:
    """Whether all is well, and a line for each part that is not, and for each warning. Asks web on this machine."""
    try:
        url = f"http://{settings.WEB_ADDRESS}/healthz"
        told = httpx.get(url, timeout=_PATIENCE, trust_env=False).json()
        wrong = [f"{name}: {told['parts'][name]}" for name in told["unwell"]]
        return not wrong, wrong + [f"warning: {line}" for line in told["warnings"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False, [f"web: does not answer at {settings.WEB_ADDRESS}"]


def stores() -> dict[str, str]:
    """Where the two stores are, without passwords."""
    embedded = {"database": settings.POSTGRES_EMBEDDED, "redis": settings.REDIS_EMBEDDED}
    places = {
        "database": database.address(settings.DATABASE_URL),
        "redis": redis.address(settings.REDIS_URL),
    }
    return {name: f"embedded, {at}" if embedded[name] else at for name, at in places.items()}
