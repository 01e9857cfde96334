"""Pages of registered models."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from registry import access, query, services
from registry.mlmodel import read, requirements
from registry.models import ModelVersion
from studio.accounts.access import signed_in
from studio.accounts.permissions import Level
from studio.lib.errors import NotFound, Unavailable, Unservable
from studio.mlflow.services import MlflowRefused
from tracking import access as tracking
from tracking.query import PAGE, logged_here


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("search", "").strip()
    page = Paginator(query.model_list(access.models_for(request.user), text), PAGE).get_page(
        request.GET.get("page")
    )
    aliases = query.aliases_of(row.name for row in page)
    # Plain dictionaries: of a defaultdict, a template's `.items` would be the value of that key.
    rows = [(row, dict(aliases[row.name])) for row in page]
    return render(request, "registry/models.html", {"page": page, "rows": rows, "search": text})


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    found = access.model_for(request.user, name)
    versions = query.version_list(
        found, access.versions_for(request.user), tracking.runs_for(request.user)
    )
    return render(request, "registry/model.html", {"model": found, "versions": versions})


@require_safe
def version(request: HttpRequest, name: str, version: int) -> HttpResponse:
    found = access.version_for(request.user, name, version)
    context = {
        "version": found,
        "aliases": query.aliases_of([name])[name][version],
        "tags": query.tags_of(found),
        "run": tracking.runs_for(request.user).filter(pk=found.run_id or "").first(),
    }
    return render(request, "registry/version.html", context | _contents(found))


def _contents(version: ModelVersion) -> dict[str, Any]:
    """What the version's files say, or why they cannot be read."""
    try:
        folder = query.folder_of(version)
        return {"mlmodel": read(folder), "requirements": requirements(folder)}
    except (NotFound, Unservable, Unavailable) as told:
        return {"told": told.message}


class RegisterForm(forms.Form):
    model = forms.ChoiceField(label="Logged model")
    name = forms.CharField(
        max_length=256,
        label="Name",
        help_text="A new name, or that of a model to add a version to.",
    )

    def __init__(self, data: Any, choices: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices
        self.fields["name"].widget.attrs |= {
            "list": "model-names",
            "autocomplete": "off",
            "autofocus": True,
        }


@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest, run_id: str) -> HttpResponse:
    by = signed_in(request.user)
    run = tracking.run_for(by, run_id)
    logged = {model.key: model for model in logged_here(run, tracking.logged_models_seen_by(by))}
    asked = request.GET.get("model", next(iter(reversed(logged)), ""))
    form = RegisterForm(
        request.POST or None,
        [(key, model.name) for key, model in logged.items()],
        initial={"model": asked},
    )
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        try:
            number = services.register(
                model=logged[form.cleaned_data["model"]], run=run, name=name, by=by
            )
        except MlflowRefused as refused:
            form.add_error("name", refused.message)
        else:
            messages.success(request, f"Registered as {name}, version {number}.")
            return redirect("registry:version", name, number)
    own = access.models_for(by, Level.EDIT)
    names = own.order_by("name").values_list("name", flat=True)[:500]
    context = {"run": run, "form": form, "names": names, "logged": logged}
    return render(request, "registry/register.html", context, status=422 if form.errors else 200)


@require_safe
def registered(request: HttpRequest, run_id: str) -> HttpResponse:
    """The versions that were registered from a run, as a fragment for its page."""
    run = tracking.run_for(request.user, run_id)
    versions = access.versions_for(request.user).filter(run_id=run.pk).order_by("name", "version")
    return render(request, "registry/_registered.html", {"versions": versions})
