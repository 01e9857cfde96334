"""The engine of one machine: rows that this host's agent makes true."""

from __future__ import annotations

from django.db import transaction

from endpoints import logs
from endpoints.engines.base import ReplicaSeen
from endpoints.models import Attempt, Deployment, Replica, ReplicaState
from studio.lib.notify import REPLICAS, ROUTES, notify

_TAIL = 60  # lines of a log that explain an end


class LocalEngine:
    @transaction.atomic
    def start(self, attempt: Attempt) -> None:
        Replica.objects.create(deployment=attempt.deployment, attempt=attempt)
        notify(REPLICAS)

    @transaction.atomic
    def stop(self, deployment: Deployment) -> None:
        Replica.objects.present().filter(deployment=deployment).update(wanted=False)
        notify(REPLICAS, ROUTES)

    def seen(self, attempt: Attempt) -> list[ReplicaSeen]:
        return [self._seen(replica) for replica in Replica.objects.filter(attempt=attempt)]

    def present(self, deployment: Deployment) -> int:
        return Replica.objects.present().filter(deployment=deployment).count()

    def released(self, deployment: Deployment) -> bool:
        return not Replica.objects.present().filter(deployment=deployment, wanted=True).exists()

    @staticmethod
    def _seen(replica: Replica) -> ReplicaSeen:
        gone = replica.state == ReplicaState.GONE
        return ReplicaSeen(
            state=ReplicaState(replica.state),
            started=replica.started_at is not None,
            address=replica.address,
            reason=replica.reason,
            log_tail=logs.tail(logs.of_replica(replica), _TAIL) if gone else "",
        )
