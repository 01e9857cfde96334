"""What pages and the REST API read of endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Prefetch, QuerySet
from django.utils.timezone import now

from endpoints.models import Deployment, Endpoint, Replica, ReplicaState, State, Wanted


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A replica as the page shows it. `state` is told in a word; `seconds`: since it was started, while it runs."""

    replica: Replica
    state: str
    label: str
    attempt: int
    memory_mb: int | None
    seconds: float | None


# How long the page goes on showing the steps and the log of a deployment that got live.
FRESH = timedelta(minutes=10)
_GONE = 5  # replicas that ended and are still listed


def with_deployments(endpoints: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
    """With all that their pages and states need, in three statements."""
    present = Prefetch("replicas", Replica.objects.present())
    deployments = Deployment.objects.select_related("created_by").prefetch_related(present)
    return endpoints.prefetch_related(Prefetch("deployments", deployments))


def with_attempts(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    return deployments.prefetch_related("attempts__steps", "replicas")


def endpoint_list(endpoints: QuerySet[Endpoint], text: str) -> QuerySet[Endpoint]:
    found = endpoints.filter(name__icontains=text) if text else endpoints
    return with_deployments(found).order_by("-created_at")


def in_focus(deployments: Sequence[Deployment], name: str = "") -> Deployment | None:
    """The deployment whose steps the page shows: the one of this name, if it is there.

    Else of those that shall stay the newest that is on its way, or what got live, stopped or failed last.
    """
    named = [deployment for deployment in deployments if deployment.name == name]
    return named[0] if named else max(deployments, key=_interest, default=None)


def _interest(deployment: Deployment) -> tuple[bool, bool, datetime]:
    settled = deployment.state in (State.LIVE, State.FAILED, State.STOPPED)
    since = deployment.state_at if settled else deployment.created_at
    return deployment.wanted != Wanted.GONE, not settled, since


def is_fresh(deployment: Deployment) -> bool:
    """Whether it got live a short while ago: who has watched it still wants to see how."""
    return deployment.state == State.LIVE and now() - deployment.state_at < FRESH


def free_name(endpoint: Endpoint | None, name: str) -> str:
    """A name for a deployment that the endpoint has not, like the one given."""
    taken = set(endpoint.deployments.values_list("name", flat=True)) if endpoint else set()
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def replica_rows(deployment: Deployment) -> list[ReplicaRow]:
    """Those that run or are to run, then the last few of its last attempt that ended for a reason of their own."""
    known = Replica.objects.filter(deployment=deployment).select_related("attempt")
    last = deployment.attempts.values("pk")[:1]  # the newest first
    gone = known.filter(state=ReplicaState.GONE, attempt__in=last).exclude(reason="")
    return [_replica_row(replica) for replica in (*known.present(), *gone.order_by("-pk")[:_GONE])]


def _replica_row(replica: Replica) -> ReplicaRow:
    state, memory, started = replica.state, replica.memory_bytes, replica.started_at
    label = state
    if state != ReplicaState.GONE and not replica.wanted:
        state, label = ReplicaState.DRAINING, "ending"
    elif state != ReplicaState.GONE and replica.outdated:
        label = "outdated"
    return ReplicaRow(
        replica,
        state,
        label.capitalize(),
        replica.attempt.number,
        None if memory is None else round(memory / 2**20),
        (now() - started).total_seconds() if started and replica.pid else None,
    )


def since(deployments: Iterable[Deployment]) -> str:
    """A text that is another one when a page of these deployments would show something else."""
    return ",".join(f"{deployment.pk}:{deployment.changes}" for deployment in deployments)
