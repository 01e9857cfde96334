"""What pages and the REST API read of endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Prefetch, QuerySet
from django.utils.timezone import now

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
    """A step as the page shows it. `mark` is done, now, failed or todo; `seconds` what it took, or takes so far."""

    label: str
    mark: str
    detail: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LogNews:
    """Some lines of an attempt's logs. Who passes `places` next time reads on; `more`: there is more at once."""

    lines: list[str]
    places: dict[str, int]
    more: bool


# How long the page goes on showing the steps and the log of a deployment that got live.
FRESH = timedelta(minutes=10)


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

    Else of those that shall stay the newest that is on its way, or what got live or failed last.
    """
    named = [deployment for deployment in deployments if deployment.name == name]
    return named[0] if named else max(deployments, key=_interest, default=None)


def _interest(deployment: Deployment) -> tuple[bool, bool, datetime]:
    settled = deployment.state in (State.LIVE, State.FAILED)
    since = deployment.state_at if settled else deployment.created_at
    return deployment.wanted == Wanted.LIVE, not settled, since


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


def step_rows(attempt: Attempt, deployment: Deployment) -> list[StepRow]:
    """The steps of an attempt in their order, those to come too."""
    known: dict[str, AttemptStep] = {step.name: step for step in attempt.steps.all()}
    rows = []
    for state in STEPS:
        step = known.get(state)
        if step is None:
            rows.append(StepRow(state.label, "todo", "", None))
            continue
        seconds = ((step.ended_at or now()) - step.started_at).total_seconds()
        mark = "failed" if step.failed else "done" if step.ended_at else "now"
        if mark == "now" and deployment.wanted == Wanted.GONE:
            mark = "todo"
        rows.append(StepRow(state.label, mark, step.detail, None if mark == "todo" else seconds))
    return rows


def log_of(attempt: Attempt, after: Mapping[str, int]) -> LogNews:
    """What is new in the attempt's logs, its own and its replicas', since the `places` that were told before."""
    build = f"build-{attempt.number}"  # who has read an earlier attempt's starts at the beginning
    pages = {build: logs.read(logs.of_attempt(attempt), after.get(build, 0))}
    for replica in Replica.objects.filter(attempt=attempt).select_related("attempt__deployment"):
        name = f"replica-{replica.pk}"
        pages[name] = logs.read(logs.of_replica(replica), after.get(name, 0))
    own, *replicas = [page.lines for page in pages.values()]
    return LogNews(
        logs.in_order(own, replicas, attempt.started_at),
        {name: page.next for name, page in pages.items()},
        any(page.more for page in pages.values()),
    )
