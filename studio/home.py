"""The first page: what is going on, and how to begin when nothing is."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from endpoints import access as endpoints
from endpoints import query as endpoint_query
from registry import access as registry
from registry import query as registry_query
from tracking import access as tracking
from tracking.models import ACTIVE

_FEW = 8


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    user = request.user
    runs = tracking.runs_for(user).filter(lifecycle_stage=ACTIVE).select_related("experiment")
    context = {
        "runs": runs.order_by("-start_time")[:_FEW],
        "models": registry_query.model_list(registry.models_for(user), "")[:_FEW],
        "endpoints": endpoint_query.endpoint_list(endpoints.endpoints_for(user), "")[:_FEW],
    }
    return render(request, "home.html", context)
