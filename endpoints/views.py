"""Pages of endpoints."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from endpoints import access, examples, query, services
from endpoints.models import Attempt, Deployment, Endpoint, State, Wanted, valid_name
from registry import access as registry
from registry.models import ModelVersion
from studio.accounts.access import signed_in
from studio.accounts.models import User
from studio.accounts.permissions import Level
from studio.lib.errors import Conflict, Forbidden, Invalid

TABS = ("overview", "test", "consume", "logs")
_PAGE = 50


@require_safe
def endpoints(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("search", "").strip()
    page = Paginator(query.endpoint_list(access.endpoints_for(request.user), text), _PAGE).get_page(
        request.GET.get("page")
    )
    return render(request, "endpoints/endpoints.html", {"page": page, "search": text})


class DeployForm(forms.Form):
    endpoint = forms.CharField(
        label="Endpoint",
        validators=[valid_name],
        help_text="A new name, or an endpoint that you have.",
    )
    deployment = forms.CharField(
        label="Deployment",
        validators=[valid_name],
        help_text="Its name behind the endpoint.",
    )
    endpoint.widget.attrs = {"list": "endpoint-names", "autocomplete": "off"}

    @classmethod
    def suggested(cls, version: ModelVersion) -> dict[str, str]:
        name = re.sub(r"^[^a-z]+", "", slugify(version.name).replace("_", "-"))[:32].strip("-")
        return {
            "endpoint": name if len(name) > 2 else f"model-{name}".strip("-"),
            "deployment": f"version-{version.version}",
        }


def _suggested(version: ModelVersion, asked: str, by: User) -> dict[str, str]:
    """Names to begin with: the endpoint that the person came from, if it is one to deploy to, and a free deployment."""
    names = DeployForm.suggested(version)
    own = access.endpoints_for(by, Level.EDIT)
    endpoint = own.filter(name=asked).first() or own.filter(name=names["endpoint"]).first()
    names["endpoint"] = endpoint.name if endpoint else names["endpoint"]
    return names | {"deployment": query.free_name(endpoint, names["deployment"])}


@require_http_methods(["GET", "HEAD", "POST"])
def deploy(request: HttpRequest, name: str, version: int) -> HttpResponse:
    """Deploy a model version to an endpoint, which is made if it is new."""
    by = signed_in(request.user)
    found = registry.version_for(by, name, version)
    asked = request.GET.get("endpoint", "")
    form = DeployForm(request.POST or None, initial=_suggested(found, asked, by))
    if request.method == "POST" and form.is_valid():
        try:
            made = _deploy(found, form.cleaned_data, by)
        except (Conflict, Forbidden) as refused:
            form.add_error(
                "deployment" if isinstance(refused, Conflict) else "endpoint", refused.message
            )
        else:
            return redirect(made.endpoint)
    names = access.endpoints_for(by, Level.EDIT).values_list("name", flat=True)[:500]
    context = {"version": found, "form": form, "names": names}
    return render(request, "endpoints/deploy.html", context, status=422 if form.errors else 200)


def _deploy(version: ModelVersion, given: dict[str, str], by: User) -> Deployment:
    """Raises Forbidden and Conflict."""
    endpoint = access.target_for(by, given["endpoint"])
    if endpoint is None:
        return services.deploy_to_new(
            name=given["endpoint"], version=version, deployment=given["deployment"], by=by
        )
    return services.deploy(endpoint=endpoint, version=version, name=given["deployment"], by=by)


@require_safe
def endpoint(request: HttpRequest, name: str) -> HttpResponse:
    found = access.endpoint_for(request.user, name)
    tab = request.GET.get("tab", "")
    context = _overview(found, request) | {"tab": tab if tab in TABS else "overview"}
    if context["tab"] in ("test", "consume"):
        context |= _snippets(found, examples.KEY_VARIABLE)
    return render(request, "endpoints/endpoint.html", context)


@require_safe
def overview(request: HttpRequest, name: str) -> HttpResponse:
    """The deployments and the steps of the one in focus, as a fragment; 204 while nothing has changed.

    When another deployment or attempt comes into focus the page is loaded as a whole, with the log of that one.
    """
    context = _overview(access.endpoint_for(request.user, name), request)
    if request.GET.get("since") == context["since"]:
        return HttpResponse(status=204)
    if request.GET.get("focus", "") != context["focus"]:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "endpoints/_overview.html", context | {"is_fragment": True})


@require_safe
def log(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    """New lines of an attempt's log as JSON: `lines`, `after` to pass next time, `settled` when none will come."""
    found = access.deployment_for(request.user, name, deployment)
    attempts = list(found.attempts.all())
    shown = _attempt(attempts, request)
    return JsonResponse(_log(found, shown, attempts[0], request.GET.get("after", "")))


@require_POST
def test(request: HttpRequest, name: str) -> HttpResponse:
    """Send the body that was typed to the endpoint, as any program would."""
    found = access.endpoint_for(request.user, name, Level.USE)
    body = request.POST.get("body", "")
    context = {"endpoint": found, "answer": examples.send(found, body)}
    if request.headers.get("HX-Request"):
        return render(request, "endpoints/_answer.html", context)
    return render(
        request,
        "endpoints/endpoint.html",
        _overview(found, request) | context | {"tab": "test", "body": body},
    )


@never_cache
@require_POST
def keys(request: HttpRequest, name: str) -> HttpResponse:
    """Show the keys in clear, which is recorded; or replace one first."""
    by = signed_in(request.user)
    found = access.endpoint_for(by, name, Level.MANAGE)
    which = request.POST.get("regenerate")
    match which:
        case "primary" | "secondary":
            services.regenerate_key(endpoint=found, which=which, by=by)
        case str():
            raise Invalid("There is a primary key and a secondary key, and no other.")
    revealed = services.reveal_keys(endpoint=found, by=by)
    context = {"endpoint": found, "keys": revealed} | _snippets(found, revealed["primary"])
    if request.headers.get("HX-Request"):
        return render(request, "endpoints/_consume.html", context)
    return render(
        request,
        "endpoints/endpoint.html",
        _overview(found, request) | context | {"tab": "consume"},
    )


@require_POST
def retry(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
    found = access.deployment_for(request.user, name, deployment, Level.EDIT)
    services.retry(deployment=found)
    return redirect(found.endpoint)


@require_http_methods(["GET", "HEAD", "POST"])
def delete_deployment(request: HttpRequest, name: str, deployment: str) -> HttpResponse:
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
    return render(request, "endpoints/delete_deployment.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Ask first, naming what ends; then do it."""
    by = signed_in(request.user)
    found = access.endpoint_for(by, name, Level.MANAGE)
    if request.method == "POST":
        services.delete_endpoint(endpoint=found, by=by)
        messages.success(
            request,
            f"The endpoint {found.name} is being deleted. Its address answers no more.",
        )
        return redirect("endpoints:endpoints")
    return render(
        request,
        "endpoints/delete.html",
        {"endpoint": found, "deployments": found.deployments.all()},
    )


def _overview(endpoint: Endpoint, request: HttpRequest) -> dict[str, Any]:
    """What the endpoint's page shows. Its address may name the deployment and the attempt to look at."""
    found = query.with_deployments(Endpoint.objects.filter(pk=endpoint.pk)).get()
    found.level = endpoint.level
    deployments = list(found.deployments.all())
    asked = request.GET.get("deployment", "")
    shown = query.in_focus(deployments, asked)
    context: dict[str, Any] = {
        "endpoint": found,
        "deployments": deployments,
        "settled": all(deployment.is_settled for deployment in deployments)
        and found.wanted == Wanted.LIVE,
        "since": ",".join(f"{deployment.pk}:{deployment.changes}" for deployment in deployments),
        "shown": shown,
        "focus": "",
    }
    if shown is not None:
        attempts = list(shown.attempts.all())
        attempt = _attempt(attempts, request)
        context |= {
            "attempt": attempt,
            "attempts": attempts,
            "focus": f"{shown.pk}.{attempt.number}",
            "fresh": query.is_fresh(shown) and attempt == attempts[0],
            "steps": query.step_rows(attempt, shown),
            "log": _log(shown, attempt, attempts[0], ""),
        }
    # What the page asks with whether there is news.
    context["poll"] = urlencode(
        {"since": context["since"], "focus": context["focus"]}
        | {key: request.GET[key] for key in ("deployment", "attempt") if key in request.GET}
    )
    return context


def _attempt(attempts: list[Attempt], request: HttpRequest) -> Attempt:
    """The attempt that the address names, else the last one."""
    asked = request.GET.get("attempt", "")
    return next((one for one in attempts if str(one.number) == asked), attempts[0])


def _log(deployment: Deployment, attempt: Attempt, last: Attempt, after: str) -> dict[str, Any]:
    places = dict(
        part.split(":") for part in after.split(",") if re.fullmatch(r"[a-z0-9-]+:\d{1,15}", part)
    )
    news = query.log_of(attempt, {name: int(place) for name, place in places.items()})
    return {
        "lines": news.lines,
        "after": ",".join(f"{name}:{place}" for name, place in news.places.items()),
        "settled": (deployment.is_settled or attempt != last) and not news.more,
    }


def _snippets(endpoint: Endpoint, key: str) -> dict[str, Any]:
    deployments = endpoint.deployments.exclude(state=State.FAILED).order_by("-traffic", "-pk")
    body = examples.body_for(deployments.first())
    return {
        "body": body,
        "curl": examples.curl(endpoint, body, key),
        "python": examples.python(endpoint, body),
    }
