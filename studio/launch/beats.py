"""`up` tells that it lives, and the same of the stores, which cannot speak for themselves; at the end, of nobody any more."""

from __future__ import annotations

from studio.launch.supervisor import Supervisor
from studio.lib import heartbeat
from studio.lib.heartbeat import Heartbeat, Subject

_STORES = ("postgres", "redis")
_beating: list[Heartbeat] = []


def begin(supervisor: Supervisor) -> None:
    def stores() -> list[Subject]:
        running = [(child.program.name, child.process) for child in supervisor.children]
        return [
            Subject(name, process.pid) for name, process in running if process and name in _STORES
        ]

    heart = heartbeat.Heartbeat("up", others=stores, mark=supervisor.mark)
    _beating.append(heart.start())


def end() -> None:
    """To be said between the end of all others, who may have been killed, and that of the database."""
    while _beating:
        _beating.pop().stop()
