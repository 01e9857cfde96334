"""The command palette: any experiment, run, model, endpoint or page by its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from endpoints import access as endpoints
from registry import access as registry
from studio.context import SECTIONS
from tracking import access as tracking
from tracking.models import ACTIVE

_EACH = 5


@dataclass(frozen=True, slots=True)
class Found:
    label: str
    kind: str
    icon: str
    url: str


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("text", "").strip()[:200]
    return render(request, "_found.html", {"found": list(_find(request, text)), "text": text})


def _find(request: HttpRequest, text: str) -> Iterator[Found]:
    user = request.user
    experiments = tracking.experiments_for(user).filter(lifecycle_stage=ACTIVE)
    for section in SECTIONS:
        if text.lower() in section.label.lower():
            yield Found(section.label, "Page", section.icon, reverse(section.url_name))
    if not text:
        return
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
