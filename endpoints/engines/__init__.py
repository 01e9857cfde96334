from __future__ import annotations

from endpoints.engines.base import Engine, ReplicaSeen
from endpoints.engines.local import LocalEngine

__all__ = ["Engine", "ReplicaSeen", "engine"]


def engine() -> Engine:
    """The engine that deployments run on."""
    return LocalEngine()
