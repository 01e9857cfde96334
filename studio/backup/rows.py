"""What a restored database says of processes that are elsewhere, or gone, is put right: endpoints come back by themselves.

The rows say live; here no replica runs, and neither model folders nor environments are there. Each deployment
that shall be live is queued again, with a new attempt, so that Studio's next start fetches, builds and starts
it as for the first time. It keeps its share of the traffic. Stopped ones stay so, failed ones too. Whoever was
signed in has to sign in again: a session that was ended since would be alive. Which store and key the hosts of
this Studio have in common is noted anew by the first that starts.
"""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F
from django.utils.timezone import now

from endpoints.models import (
    Agent,
    Attempt,
    AttemptStep,
    Deployment,
    Replica,
    ReplicaState,
    State,
    Wanted,
)
from studio.launch.models import Common

_REASON = "Restored from a backup: it does not run here."


@transaction.atomic
def put_right() -> int:
    """Safe to repeat. Returns how many deployments are brought back."""
    Session.objects.all().delete()
    Agent.objects.all().delete()
    Common.objects.all().delete()
    Replica.objects.present().update(
        state=ReplicaState.GONE,
        wanted=False,
        reason=_REASON,
        address="",
        pid=None,
        pid_started=None,
        memory_bytes=None,
        cpu_percent=None,
    )
    Deployment.objects.update(lease_holder="", lease_until=None)
    AttemptStep.objects.filter(ended_at=None, failed=False).update(ended_at=now())
    coming = Deployment.objects.filter(wanted=Wanted.LIVE)
    # What stops or has stopped, and shall be live again after all, gets there by itself.
    coming = coming.exclude(state__in=[State.FAILED, State.STOPPING, State.STOPPED])
    for deployment in coming:
        _queue(deployment)
    return len(coming)


def _queue(deployment: Deployment) -> None:
    """By hand, since from live no move leads to queued: whoever moves rows is not running."""
    last = deployment.attempts.order_by("-number").first()
    if deployment.state != State.QUEUED and last is not None:
        Attempt.objects.create(deployment=deployment, number=last.number + 1)
    Deployment.objects.filter(pk=deployment.pk).update(
        state=State.QUEUED, state_at=now(), reason="", detail="", changes=F("changes") + 1
    )
