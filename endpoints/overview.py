"""What an endpoint's page shows of its deployments: the one in focus, its attempt, its log. Read by views alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from endpoints import attempt_logs, query, timeline
from endpoints.models import Attempt, Deployment, Endpoint, Replica, State, Wanted

_HIGH = 0.8  # of the memory limit: from here on it is shown as much
_TOLD = 12  # lines of a failure's detail that stand at its step: the log has them all


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be done to a deployment as it is, by who may."""

    retry: bool
    start: bool
    stop: bool
    restart: bool
    size: bool

    @classmethod
    def of(cls, deployment: Deployment) -> Offers:
        wanted, state = deployment.wanted, deployment.state
        live = wanted == Wanted.LIVE
        return cls(
            retry=live and state == State.FAILED,
            start=wanted == Wanted.STOPPED,
            stop=live and state != State.FAILED,
            restart=live and state == State.LIVE,
            size=wanted != Wanted.GONE,
        )


def of(endpoint: Endpoint, request: HttpRequest, *, with_log: bool = False) -> dict[str, Any]:
    """What the endpoint's page shows. Its address may name the deployment and the attempt to look at."""
    found = query.with_deployments(Endpoint.objects.filter(pk=endpoint.pk)).get()
    found.level = endpoint.level
    deployments = list(found.deployments.all())
    shown = query.in_focus(deployments, request.GET.get("deployment", ""))
    context: dict[str, Any] = {
        "endpoint": found,
        "deployments": deployments,
        "settled": all(deployment.is_settled for deployment in deployments)
        and found.wanted == Wanted.LIVE,
        "since": query.since(deployments),
        "shown": shown,
        "focus": "",
    }
    if shown is not None:
        attempts = list(shown.attempts.prefetch_related("steps"))
        attempt = attempt_asked(attempts, request)
        context |= _in_focus(shown, attempts, attempt) | replicas(shown, context["since"])
        context["focus"] = f"{shown.pk}.{attempt.number}"
        if with_log:
            context["log"] = log(shown, attempt, attempts[0], replica_asked(attempt, request))
    # What the page asks with whether there is news.
    context["poll"] = urlencode(
        {"since": context["since"], "focus": context["focus"]}
        | {key: request.GET[key] for key in ("deployment", "attempt") if key in request.GET}
    )
    return context


def _in_focus(shown: Deployment, attempts: list[Attempt], attempt: Attempt) -> dict[str, Any]:
    is_last = attempt == attempts[0]
    steps = timeline.step_rows(attempt, shown, is_last=is_last)
    rows = timeline.attempt_rows(attempts, shown)
    row = rows[attempts.index(attempt)]
    return {
        "attempt": attempt,
        "attempts": attempts,
        "is_last": is_last,
        "fresh": is_last and query.is_fresh(shown),
        "steps": steps,
        "attempt_rows": rows,
        "attempt_row": row,
        "offers": Offers.of(shown),
        "why": _why(shown, attempt, is_last=is_last) if row.mark == "bad" else None,
        # A failure before the first step has no place among them.
        "why_first": not any(step.mark == "failed" for step in steps),
    }


def _why(shown: Deployment, attempt: Attempt, *, is_last: bool) -> dict[str, Any]:
    """Why the attempt failed, and after the last one what to do."""
    if not is_last:
        return {"reason": attempt_logs.reason_of(attempt), "detail": "", "suggestion": None}
    step = next((step.name for step in attempt.steps.all() if step.failed), "")
    offered = Offers.of(shown).retry
    return {
        "reason": shown.reason,
        "detail": "\n".join(shown.detail.rstrip().splitlines()[-_TOLD:]),
        "suggestion": timeline.suggestion(step, shown.reason) if offered else None,
    }


def replicas(shown: Deployment, since: str) -> dict[str, Any]:
    """The replicas of a deployment, and whether there is a reason to ask again."""
    rows = query.replica_rows(shown)
    present = sum(row.state != "gone" for row in rows)
    wanted = shown.replicas_wanted if shown.is_on_the_way else 0
    return {
        "shown": shown,
        "replicas": rows,
        "missing": range(max(0, wanted - present)),
        "memory_high": round(shown.memory_mb * _HIGH),
        "replicas_run": present > 0 or not shown.is_settled,
        "since": since,
    }


def attempt_asked(attempts: list[Attempt], request: HttpRequest) -> Attempt:
    """The attempt that the address names, else the last one."""
    asked = request.GET.get("attempt", "")
    return next((one for one in attempts if str(one.number) == asked), attempts[0])


def replica_asked(attempt: Attempt, request: HttpRequest) -> Replica | None:
    """The replica of the attempt whose log alone is asked for, if the address names one."""
    asked = request.GET.get("replica", "")
    if not re.fullmatch(r"[0-9]{1,18}", asked):
        return None
    known = attempt.replicas.select_related("attempt__deployment")
    return known.filter(pk=int(asked)).first()


def log(
    deployment: Deployment, attempt: Attempt, last: Attempt, replica: Replica | None
) -> dict[str, Any]:
    """The end of the log, and where to read on."""
    news = attempt_logs.latest(attempt, replica)
    steps = attempt.steps.all()
    failed = any(step.failed for step in steps) or (
        attempt == last and deployment.state == State.FAILED
    )
    told = _told(deployment, attempt, last, news) | {
        "lines": attempt_logs.marked(news.lines, failed=failed),
        "cut": news.cut,
        "replica": replica,
        "query": urlencode(_names(attempt, last, replica)),
        "of": list(attempt.replicas.values_list("pk", flat=True)),
    }
    return told | {"has_error": any(line.is_error for line in told["lines"])}


def log_news(
    deployment: Deployment, attempt: Attempt, last: Attempt, request: HttpRequest
) -> dict[str, Any]:
    """What has come since the places that the address tells."""
    replica = replica_asked(attempt, request)
    news = attempt_logs.log_of(attempt, _places(request.GET.get("after", "")), replica)
    marks = [line.mark for line in attempt_logs.marked(news.lines)]
    told = {"lines": news.lines, "marks": marks}
    return told | _told(deployment, attempt, last, news)


def _told(
    deployment: Deployment, attempt: Attempt, last: Attempt, news: attempt_logs.LogNews
) -> dict[str, Any]:
    """`settled`: nothing more is on its way; `over`: nothing will ever come."""
    settled = (deployment.is_settled or attempt != last) and not news.more
    return {
        "after": ",".join(f"{name}:{place}" for name, place in news.places.items()),
        "settled": settled,
        "over": settled and (attempt != last or deployment.state != State.LIVE),
    }


def _places(after: str) -> dict[str, int]:
    found = [
        part.split(":")
        for part in after.split(",")
        if re.fullmatch(r"[a-z0-9-]+:[0-9]{1,15}", part)
    ]
    return {name: int(place) for name, place in found}


def _names(attempt: Attempt, last: Attempt, replica: Replica | None) -> dict[str, int]:
    """What an address of this log says, beyond what it says by itself."""
    names = {"attempt": attempt.number} if attempt != last or replica else {}
    return names | ({"replica": replica.pk} if replica else {})
