"""The command palette: any experiment, run, model, endpoint, page or action by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from endpoints import access as endpoints
from registry import access as registry
from studio.accounts.access import signed_in
from studio.accounts.models import User
from studio.context import sections_for
from tracking import access as tracking
from tracking.models import ACTIVE

_EACH = 5


def _everybody(user: User) -> bool:
    return True


def _is_administrator(user: User) -> bool:
    return user.is_administrator


@dataclass(frozen=True, slots=True)
class Place:
    label: str
    kind: str
    icon: str
    url_name: str
    may_visit: Callable[[User], bool] = _everybody


@dataclass(frozen=True, slots=True)
class Found:
    label: str
    kind: str
    icon: str
    url: str


# What the navigation does not name: pages, and where a thing is done.
_PLACES = (
    Place("Access tokens", "Page", "key-round", "accounts:tokens"),
    Place("Password", "Page", "lock-keyhole", "accounts:password"),
    Place("Users", "Page", "users", "accounts:users", may_visit=_is_administrator),
    Place("Health", "Page", "activity", "health:page", may_visit=_is_administrator),
    Place(
        "Audit log",
        "Page",
        "scroll-text",
        "admin:accounts_auditevent_changelist",
        may_visit=_is_administrator,
    ),
    Place("MLflow's own UI", "Page", "app-window", "mlflow-ui"),
    Place("Create an access token", "Action", "key-round", "accounts:tokens"),
    Place("Deploy a model", "Action", "rocket", "registry:models", may_visit=endpoints.may_deploy),
    Place("Create a user", "Action", "user-plus", "accounts:users", may_visit=_is_administrator),
)


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("text", "").strip()[:200]
    return render(request, "_found.html", {"found": list(_find(request, text)), "text": text})


def _find(request: HttpRequest, text: str) -> Iterator[Found]:
    user = signed_in(request.user)
    yield from _pages(user, text)
    if text:
        yield from _rows(user, text)


def _pages(user: User, text: str) -> Iterator[Found]:
    for section in sections_for(user):
        if text.lower() in section.label.lower():
            yield Found(section.label, "Page", section.icon, reverse(section.url_name))
    for place in _PLACES:
        if text.lower() in place.label.lower() and place.may_visit(user):
            yield Found(place.label, place.kind, place.icon, reverse(place.url_name))


def _rows(user: User, text: str) -> Iterator[Found]:
    experiments = tracking.experiments_for(user).filter(lifecycle_stage=ACTIVE)
    for endpoint in endpoints.endpoints_for(user).filter(name__icontains=text)[:_EACH]:
        yield Found(endpoint.name, "Endpoint", "radio", endpoint.get_absolute_url())
    for model in registry.models_for(user).filter(name__icontains=text)[:_EACH]:
        yield Found(model.name, "Model", "box", model.get_absolute_url())
    for experiment in experiments.filter(name__icontains=text).order_by("-last_update_time")[
        :_EACH
    ]:
        yield Found(experiment.name, "Experiment", "chart-line", experiment.get_absolute_url())
    runs = tracking.runs_for(user).filter(lifecycle_stage=ACTIVE)
    by_id = runs.filter(pk__startswith=text.lower())
    for run in [
        *by_id[:_EACH],
        *runs.filter(name__icontains=text).order_by("-start_time")[:_EACH],
    ]:
        yield Found(str(run), "Run", "play", run.get_absolute_url())
