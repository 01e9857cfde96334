"""What an app tells of its routes: how each is read, and who may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from studio.lane.asked import Asked
from studio.lane.asking import Asker, Done
from studio.lane.messages import Body


class Work(Protocol):
    """Something that was read, and can be done."""

    def write(self, asker: Asker) -> Done:
        """Store it for good. Raises Stranger, Denied, MlflowException and psycopg.Error: then nothing was stored."""


class Route(NamedTuple):
    """`check` asks who may where a body cannot be stored: who may not is told that, and not what is wrong with it.

    It raises Denied, Stranger, or MlflowException where MLflow's own rules find something wrong before.
    """

    read: Callable[[Body], Work]
    check: Callable[[Asker, Body], None]


class Question(Protocol):
    """Something that was asked for, and can be looked up."""

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""


# Reads what is asked for. Raises Elsewhere.
Seek = Callable[[Asked], Question]
