"""The engine of one machine: rows that this host's agent makes true."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from endpoints import logs
from endpoints.engines.base import ReplicaSeen
from endpoints.models import Attempt, Deployment, Replica, ReplicaQuerySet, ReplicaState
from studio.lib.notify import REPLICAS, ROUTES, notify

_TAIL = 60  # lines of a log that explain an end
_READY = Q(state=ReplicaState.READY)


class LocalEngine:
    @transaction.atomic
    def start(self, attempt: Attempt) -> None:
        Replica.objects.create(deployment=attempt.deployment, attempt=attempt)
        notify(REPLICAS)

    def stop(self, deployment: Deployment) -> None:
        _end(_asked(deployment))

    def trim(self, deployment: Deployment, keep: int) -> None:
        _end_surplus(_asked(deployment).filter(outdated=False), keep)

    @transaction.atomic
    def outdate(self, deployment: Deployment) -> None:
        _asked(deployment).update(outdated=True)
        _end(_asked(deployment).exclude(_READY))

    def retire(self, deployment: Deployment, keep: int) -> None:
        _end_surplus(_asked(deployment).filter(outdated=True), keep)

    def seen(self, attempt: Attempt) -> list[ReplicaSeen]:
        return [_seen(replica) for replica in Replica.objects.filter(attempt=attempt)]

    def last_words(self, attempt: Attempt) -> str:
        newest = Replica.objects.filter(attempt=attempt).select_related("attempt").last()
        return logs.tail(logs.of_replica(newest), _TAIL) if newest else ""

    def present(self, deployment: Deployment) -> int:
        return Replica.objects.present().filter(deployment=deployment).count()

    def released(self, deployment: Deployment) -> bool:
        return not _asked(deployment).exists()


def _asked(deployment: Deployment) -> ReplicaQuerySet:
    """Those that are there and have not been asked to end."""
    return Replica.objects.present().filter(deployment=deployment, wanted=True)


def _end_surplus(replicas: ReplicaQuerySet, keep: int) -> None:
    """Those that do not answer go first, then the newest."""
    worth = sorted(
        replicas.values_list("pk", "state"),
        key=lambda row: (row[1] != ReplicaState.READY, row[0]),
    )
    surplus = [pk for pk, _ in worth[keep:]]
    _end(replicas.filter(pk__in=surplus))


@transaction.atomic
def _end(replicas: ReplicaQuerySet) -> None:
    replicas.update(wanted=False)
    notify(REPLICAS, ROUTES)


def _seen(replica: Replica) -> ReplicaSeen:
    return ReplicaSeen(
        state=ReplicaState(replica.state),
        started=replica.started_at is not None,
        wanted=replica.wanted,
        outdated=replica.outdated,
        address=replica.address,
        reason=replica.reason,
    )
