"""What pages and the REST API read of endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from endpoints import logs
from endpoints.models import (
    STEPS,
    Attempt,
    AttemptStep,
    Deployment,
    Endpoint,
    Replica,
    State,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as the page shows it. `mark` is done, now, failed or todo; `seconds` None while it has not ended."""

    label: str
    mark: str
    detail: str
    seconds: float | None


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


def in_focus(deployments: Sequence[Deployment]) -> Deployment | None:
    """The deployment whose steps the page shows: the newest that is on its way or has failed, else the newest."""
    busy = [deployment for deployment in deployments if deployment.state != State.LIVE]
    candidates = busy or list(deployments)
    return candidates[-1] if candidates else None


def step_rows(attempt: Attempt, deployment: Deployment) -> list[StepRow]:
    """The steps of an attempt in their order, those to come too."""
    known: dict[str, AttemptStep] = {step.name: step for step in attempt.steps.all()}
    rows = []
    for state in STEPS:
        step = known.get(state)
        if step is None:
            rows.append(StepRow(state.label, "todo", "", None))
            continue
        seconds = (step.ended_at - step.started_at).total_seconds() if step.ended_at else None
        mark = "failed" if step.failed else "done" if step.ended_at else "now"
        if mark == "now" and deployment.wanted == Wanted.GONE:
            mark = "todo"
        rows.append(StepRow(state.label, mark, step.detail, seconds))
    return rows


def current_log(attempt: Attempt, after: dict[str, int]) -> dict[str, logs.Page]:
    """What is new in the attempt's logs: its build's, then each replica's, by the name that `after` counts for."""
    build = f"build-{attempt.number}"  # who has read an earlier attempt's starts at the beginning
    pages = {build: logs.read(logs.of_attempt(attempt), after.get(build, 0))}
    for replica in Replica.objects.filter(attempt=attempt).select_related("attempt__deployment"):
        name = f"replica-{replica.pk}"
        pages[name] = logs.read(logs.of_replica(replica), after.get(name, 0))
    return pages
