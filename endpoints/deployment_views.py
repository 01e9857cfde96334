"""What belongs to one deployment: its log, its replicas, and what a person does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from endpoints import access, attempt_logs, overview, query, services
from endpoints.models import MEMORY_MB, REPLICAS, Deployment, Replica
from studio.accounts.access import signed_in
from studio.accounts.models import User
from studio.accounts.permissions import Level
from studio.lib.errors import Conflict


class SizeForm(forms.Form):
    """How many replicas, and how large each may get."""

    replicas = forms.IntegerField(
        label="Replicas",
        min_value=REPLICAS[0],
        max_value=REPLICAS[1],
        initial=1,
        help_text="1 to 8. Requests are spread over them; one goes on while another is replaced.",
    )
    memory_mb = forms.IntegerField(
        label="Memory limit of each, in MB",
        min_value=MEMORY_MB[0],
        max_value=MEMORY_MB[1],
        initial=2048,
        help_text="A replica that holds more is ended and started again. Memory that replicas share counts once.",
    )


@require_safe
def log(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """New lines of an attempt's log as JSON: `lines` with their `marks`, `after` to pass next time, `settled` when none are on their way, `over` when none will ever come."""
    found = access.deployment_for(request.user, name, deployment)
    attempts = list(found.attempts.all())
    shown = overview.attempt_asked(attempts, request)
    return JsonResponse(overview.log_news(found, shown, attempts[0], request))


@require_safe
def download_log(request: HttpRequest, name: str, deployment: str) -> StreamingHttpResponse:
    """The whole log of an attempt or of one replica, as a file."""
    found = access.deployment_for(request.user, name, deployment)
    attempt = overview.attempt_asked(list(found.attempts.select_related("deployment")), request)
    replica = overview.replica_asked(attempt, request)
    of = f"-replica-{replica.pk}" if replica else ""
    filename = f"{name}-{deployment}-attempt-{attempt.number}{of}.log"
    lines = attempt_logs.whole(attempt, replica)
    return StreamingHttpResponse(
        (f"{line}\n" for line in lines),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


@require_safe
def replicas(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """The replicas as a fragment. Says to the page when it would show something else of the deployments, too."""
    found = access.deployment_for(request.user, name, deployment)
    since = query.since(Deployment.objects.filter(endpoint=found.endpoint))
    context = overview.replicas(found, since) | {"endpoint": found.endpoint}
    response = render(request, "endpoints/_replicas.html", context)
    if request.GET.get("since") != since:
        response["HX-Trigger"] = "news"
    return response


@require_POST
def retry(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    found = access.deployment_for(request.user, name, deployment, Level.EDIT)
    return _done(request, found, lambda: services.retry(deployment=found), "")


@require_POST
def start(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    by, found = _to_change(request, name, deployment)
    told = f"{found.name} is being started. It takes its part of the requests once it is ready."
    return _done(request, found, lambda: services.start_deployment(deployment=found, by=by), told)


@require_POST
def restart(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    by, found = _to_change(request, name, deployment)
    told = (
        f"{found.name} is being restarted. New replicas come first; "
        "those that run now answer until the new ones are ready."
    )
    return _done(request, found, lambda: services.restart_deployment(deployment=found, by=by), told)


@require_http_methods(["GET", "HEAD", "POST"])
def stop(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """Ask first, naming what ends; then do it."""
    by, found = _to_change(request, name, deployment)
    if request.method == "POST":
        told = f"{found.name} is being stopped. Start it again whenever it is needed."
        return _done(
            request, found, lambda: services.stop_deployment(deployment=found, by=by), told
        )
    context = {"deployment": found, "endpoint": found.endpoint, "running": _running(found)}
    return render(request, "endpoints/stop_deployment.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def scale(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """How many replicas there shall be, and how large each may get."""
    by, found = _to_change(request, name, deployment)
    initial = {"replicas": found.replicas_wanted, "memory_mb": found.memory_mb}
    form = SizeForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        size = form.cleaned_data
        told = f"{found.name} shall have {size['replicas']} replica{'' if size['replicas'] == 1 else 's'} of up to {size['memory_mb']} MB."
        return _done(request, found, lambda: services.scale(deployment=found, by=by, **size), told)
    context = {"deployment": found, "endpoint": found.endpoint, "form": form}
    status = 422 if form.errors else 200
    return render(request, "endpoints/scale_deployment.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """Ask first, naming what ends; then do it."""
    by = signed_in(request.user)
    found = access.deployment_for(by, name, deployment, Level.MANAGE)
    if request.method == "POST":
        heir = services.delete_deployment(deployment=found, by=by)
        told = f" {heir.name} takes all of the traffic now." if heir else ""
        messages.success(request, f"The deployment {found.name} is being ended and deleted.{told}")
        return redirect(found.endpoint)
    heir = Deployment.objects.filter(endpoint=found.endpoint).heir_of(found)
    context = {"deployment": found, "endpoint": found.endpoint, "heir": heir}
    return render(
        request, "endpoints/delete_deployment.html", context | {"running": _running(found)}
    )


def _to_change(request: HttpRequest, name: str, deployment: str) -> tuple[User, Deployment]:
    by = signed_in(request.user)
    return by, access.deployment_for(by, name, deployment, Level.EDIT)


def _running(deployment: Deployment) -> int:
    """How many replicas would end."""
    return Replica.objects.present().filter(deployment=deployment).count()


def _done(
    request: HttpRequest, deployment: Deployment, act: Callable[[], Any], told: str
) -> HttpResponse:
    """Do it and go to the deployment's page, which says so, or why it could not be done."""
    try:
        act()
    except Conflict as refused:
        messages.error(request, refused.message)
    else:
        if told:
            messages.success(request, told)
    page = deployment.endpoint.get_absolute_url()
    return redirect(f"{page}?{urlencode({'deployment': deployment.name})}")
