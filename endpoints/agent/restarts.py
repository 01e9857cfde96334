"""How often a replica has ended in a row, and what is made of it: longer pauses, and in the end a crash loop told."""

from __future__ import annotations

import time
from collections.abc import Iterable

from django.db.models import F

from endpoints import logs
from endpoints.models import Deployment, Replica, State, Wanted

FIRST_PAUSE, LONGEST_PAUSE = (
    0.2,
    30.0,
)  # seconds between the end of a live replica and its next start
STEADY = 60.0  # seconds of readiness, after which it counts from the beginning
LOOP = 5  # ends in a row that are a crash loop
_IN_A_ROW = "times in a row"  # by which what we have told is known again, also by the next agent
_TAIL = 60  # lines of a log that explain it


class Restarts:
    """Of this agent's replicas, by their numbers."""

    def __init__(self) -> None:
        self._in_a_row: dict[int, int] = {}
        self._ready_since: dict[int, float] = {}

    def ready(self, pk: int) -> None:
        """It is ready, now or still."""
        self._ready_since.setdefault(pk, time.monotonic())

    def unready(self, pk: int) -> None:
        self._ready_since.pop(pk, None)

    def steady(self, pk: int) -> bool:
        """Whether it has been ready for so long that what was before does not count any more."""
        since = self._ready_since.get(pk)
        return since is not None and time.monotonic() - since >= STEADY

    def ended(self, pk: int) -> int:
        """How often it has ended in a row, this time included."""
        before = 0 if self.steady(pk) else self._in_a_row.get(pk, 0)
        self.unready(pk)
        self._in_a_row[pk] = before + 1
        return before + 1

    def keep(self, pks: Iterable[int]) -> None:
        """Forget all others."""
        kept = set(pks)
        for known in (self._in_a_row, self._ready_since):
            for pk in known.keys() - kept:
                del known[pk]


def pause_after(ends: int) -> float:
    """Seconds until a replica is started again that has ended so often in a row."""
    return float(min(FIRST_PAUSE * 2.0 ** min(ends - 1, 20), LONGEST_PAUSE))


def tell_loop(replica: Replica, ends: int, why: str) -> None:
    """Say on its deployment, which stays live, that a replica does not stay up."""
    told = f"Replica {replica.pk} has ended {ends} {_IN_A_ROW}: {why} It goes on being started, "
    told += f"with pauses of up to {LONGEST_PAUSE:g} s."
    if ends == LOOP:
        logs.write(logs.of_replica(replica), f"crash loop: {told}")
    deployment = Deployment.objects.filter(
        pk=replica.deployment_id, state=State.LIVE, wanted=Wanted.LIVE
    )
    tail = logs.tail(logs.of_replica(replica), _TAIL).replace("\0", "")  # which PostgreSQL refuses
    deployment.update(reason=told, detail=tail)


def clear_loops(replicas: Iterable[Replica], restarts: Restarts) -> None:
    """Take back what was said of deployments all of whose replicas have been ready for a while."""
    told: dict[int, bool] = {}
    for replica in replicas:
        deployment = replica.deployment
        if replica.wanted and deployment.state == State.LIVE and _IN_A_ROW in deployment.reason:
            steady = told.get(deployment.pk, True) and restarts.steady(replica.pk)
            told[deployment.pk] = steady
    healed = [pk for pk, steady in told.items() if steady]
    if healed:
        looping = Deployment.objects.filter(pk__in=healed, reason__contains=_IN_A_ROW)
        looping.update(reason="", detail="", changes=F("changes") + 1)
