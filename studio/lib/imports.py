"""Imports that wait until they are needed, in processes with several threads."""

from __future__ import annotations

from importlib import import_module
from threading import RLock
from types import ModuleType

_lock = RLock()


def load(name: str) -> ModuleType:
    """Import the module, or return it. One thread at a time.

    MLflow's modules import each other in circles. Of two threads that come into one from two sides, Python lets
    one see a module that is half made, rather than have both wait for ever.
    """
    with _lock:
        return import_module(name)
