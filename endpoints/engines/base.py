"""What an engine is: something that runs replicas of a deployment and tells how they are.

It is spoken to of models, environments and addresses, never of processes: where and how a replica runs
is the engine's own affair. tests/endpoints/engines/ holds the contract as tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from endpoints.models import Attempt, Deployment, ReplicaState


@dataclass(frozen=True, slots=True)
class ReplicaSeen:
    """A replica as its engine tells it. `reason` says why it is gone; `log_tail` is what it printed last."""

    state: ReplicaState
    started: bool
    address: str
    reason: str
    log_tail: str


class Engine(Protocol):
    def start(self, attempt: Attempt) -> None:
        """Ask for one replica of the attempt's deployment. Returns at once; the engine calls reconcile on news."""

    def stop(self, deployment: Deployment) -> None:
        """Ask for the end of all its replicas. Returns at once; they finish what they answer."""

    def seen(self, attempt: Attempt) -> list[ReplicaSeen]:
        """The attempt's replicas, gone ones too, the newest last."""

    def present(self, deployment: Deployment) -> int:
        """How many replicas of the deployment, of any attempt, are not gone yet."""

    def released(self, deployment: Deployment) -> bool:
        """Whether each of these has been asked to end."""
