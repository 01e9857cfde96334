"""Pages of endpoints."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from endpoints import access, examples, query, services
from endpoints.deployment_views import SizeForm
from endpoints.models import Deployment, Endpoint, State, valid_name
from endpoints.overview import of as page_of
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


class DeployForm(SizeForm):
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

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        for name in SizeForm.base_fields:  # who says nothing of it gets what the form suggests
            self.fields[name].required = False

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


def _deploy(version: ModelVersion, given: dict[str, Any], by: User) -> Deployment:
    """Raises Forbidden and Conflict."""
    size = {name: given[name] for name in SizeForm.base_fields if given[name] is not None}
    endpoint = access.target_for(by, given["endpoint"])
    if endpoint is None:
        return services.deploy_to_new(
            name=given["endpoint"], version=version, deployment=given["deployment"], by=by, **size
        )
    return services.deploy(
        endpoint=endpoint, version=version, name=given["deployment"], by=by, **size
    )


@require_safe
def endpoint(request: HttpRequest, name: str) -> HttpResponse:
    found = access.endpoint_for(request.user, name)
    asked = request.GET.get("tab", "")
    tab = asked if asked in TABS else "overview"
    context = page_of(found, request, with_log=tab in ("overview", "logs")) | {"tab": tab}
    if tab in ("test", "consume"):
        context |= _snippets(found, examples.KEY_VARIABLE)
    return render(request, "endpoints/endpoint.html", context)


@require_safe
def overview(request: HttpRequest, name: str) -> HttpResponse:
    """The deployments and the steps of the one in focus, as a fragment; 204 while nothing has changed.

    When another deployment or attempt comes into focus the page is loaded as a whole, with the log of that one.
    """
    context = page_of(access.endpoint_for(request.user, name), request)
    if request.GET.get("since") == context["since"]:
        return HttpResponse(status=204)
    if request.GET.get("focus", "") != context["focus"]:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "endpoints/_overview.html", context | {"is_fragment": True})


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
        page_of(found, request) | context | {"tab": "test", "body": body},
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
        page_of(found, request) | context | {"tab": "consume"},
    )


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


def _snippets(endpoint: Endpoint, key: str) -> dict[str, Any]:
    deployments = endpoint.deployments.exclude(state=State.FAILED).order_by("-traffic", "-pk")
    body = examples.body_for(deployments.first())
    return {
        "body": body,
        "curl": examples.curl(endpoint, body, key),
        "python": examples.python(endpoint, body),
    }
