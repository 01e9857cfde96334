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
    """A replica as its engine tells it. `wanted`: it was not asked to end. `reason` says why it is gone."""

    state: ReplicaState
    started: bool
    wanted: bool
    outdated: bool
    address: str
    reason: str

    @property
    def kept(self) -> bool:
        """Whether it is there, and was not asked to end."""
        return self.wanted and self.state != ReplicaState.GONE

    @property
    def ready(self) -> bool:
        """Whether it answers, and goes on to."""
        return self.wanted and self.state == ReplicaState.READY


class Engine(Protocol):
    def start(self, attempt: Attempt) -> None:
        """Ask for one more replica of the attempt's deployment. Returns at once; the engine calls reconcile on news."""

    def stop(self, deployment: Deployment) -> None:
        """Ask for the end of all its replicas. Returns at once; they finish what they answer."""

    def trim(self, deployment: Deployment, keep: int) -> None:
        """Ask for the end of all but `keep` of those that are not outdated: of the ready ones as few as can be."""

    def outdate(self, deployment: Deployment) -> None:
        """Note that others shall take the place of all there are. Those that are not ready are asked to end."""

    def retire(self, deployment: Deployment, keep: int) -> None:
        """Ask for the end of all but `keep` of the outdated ones, like `trim`."""

    def seen(self, attempt: Attempt) -> list[ReplicaSeen]:
        """The attempt's replicas, gone ones too, the newest last."""

    def last_words(self, attempt: Attempt) -> str:
        """What the attempt's newest replica printed last."""

    def present(self, deployment: Deployment) -> int:
        """How many replicas of the deployment, of any attempt, are not gone yet."""

    def released(self, deployment: Deployment) -> bool:
        """Whether each of these has been asked to end."""
