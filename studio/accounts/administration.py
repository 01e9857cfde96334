"""Administrators' pages of users."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from studio.accounts import access, limiter, services
from studio.accounts.access import signed_in
from studio.accounts.models import Grant, Permission, User
from studio.accounts.permissions import ANY
from studio.accounts.user_access import (
    administrators_only,
    kept_by,
    mlflow_grants,
    user_for,
    user_list,
)
from studio.lib.errors import Conflict, Invalid

_PAGE = 50
_GRANTS = 100  # of a user: as many as a person reads
# `endpoints.models.ENDPOINT`, which lies above. A test compares them.
ENDPOINT = "endpoint"


@administrators_only
@require_safe
def administration(request: HttpRequest) -> HttpResponse:
    return redirect("accounts:users")


class UserForm(forms.Form):
    username = forms.CharField(max_length=150, label="User name")
    is_administrator = forms.BooleanField(required=False, label="Administrator")


@administrators_only
@require_http_methods(["GET", "HEAD", "POST"])
def users(request: HttpRequest) -> HttpResponse:
    form = UserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_user(**form.cleaned_data, by=signed_in(request.user))
        except (Conflict, Invalid) as refused:
            form.add_error("username", refused.message)
        else:
            return redirect("accounts:user", made.username)
    search = request.GET.get("search", "").strip()
    page = Paginator(user_list(search), _PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "search": search, "form": form}
    status = 422 if form.errors else 200
    return render(request, "administration/users.html", context, status=status)


@administrators_only
@require_safe
def user(request: HttpRequest, username: str) -> HttpResponse:
    return _page(request, user_for(username))


@administrators_only
@never_cache  # the answer shows a secret
@require_POST
def password_link(request: HttpRequest, username: str) -> HttpResponse:
    found = user_for(username)
    made = services.make_password_link(user=found, by=signed_in(request.user))
    return _page(request, found, link=made)


@administrators_only
@require_POST
def active(request: HttpRequest, username: str) -> HttpResponse:
    changed = services.set_active(
        user=user_for(username), is_active=_yes(request), by=signed_in(request.user)
    )
    told = "may sign in again" if changed.is_active else "is disabled, and no token of theirs works"
    return _back(request, changed, f"{changed.username} {told}.")


@administrators_only
@require_POST
def administrator(request: HttpRequest, username: str) -> HttpResponse:
    changed = services.set_administrator(
        user=user_for(username), is_administrator=_yes(request), by=signed_in(request.user)
    )
    told = "is an administrator" if changed.is_superuser else "is no administrator any more"
    return _back(request, changed, f"{changed.username} {told}.")


@administrators_only
@require_POST
def lockouts(request: HttpRequest, username: str) -> HttpResponse:
    found = user_for(username)
    services.clear_lockouts(user=found, by=signed_in(request.user))
    return _back(request, found, f"{found.username} may try to sign in again at once.")


@administrators_only
@require_POST
def all_endpoints(request: HttpRequest, username: str) -> HttpResponse:
    """Give a permission on all endpoints, or take it with an empty one."""
    found, by = user_for(username), signed_in(request.user)
    wanted = request.POST.get("permission", "")
    if wanted and wanted not in Permission.values:
        raise Invalid(f"{wanted!r} is no permission: choose one of {', '.join(Permission.values)}.")
    of = {"resource_type": ENDPOINT, "resource_id": ANY}
    if wanted:
        services.give(user=found, **of, permission=Permission(wanted), by=by)
    else:
        services.take(user=found, **of, by=by)
    told = f"has {wanted} on all endpoints" if wanted else "has no permission on all endpoints"
    return _back(request, found, f"{found.username} {told}.")


@administrators_only
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, username: str) -> HttpResponse:
    """Ask first, naming what ends; then do it."""
    found = user_for(username)
    if request.method == "POST":
        services.delete_user(user=found, by=signed_in(request.user))
        messages.success(request, f"The user {found.username} is deleted.")
        return redirect("accounts:users")
    context = {
        "found": found,
        "kept": kept_by(found),
        "tokens": access.tokens_of(found).count(),
        "grants": mlflow_grants(found).count() + found.grants.count(),
    }
    return render(request, "administration/delete_user.html", context)


def _page(request: HttpRequest, found: User, link: services.MadeLink | None = None) -> HttpResponse:
    grants = mlflow_grants(found)
    endpoints = Grant.objects.filter(user=found, resource_type=ENDPOINT)
    all_of_them = endpoints.filter(resource_id=ANY).first()
    context: dict[str, Any] = {
        "found": found,
        "link": link,
        "tokens": access.tokens_of(found).count(),
        "lockouts": limiter.locked(found.username).order_by("address"),
        "grants": grants[:_GRANTS],
        "more_grants": max(0, grants.count() - _GRANTS),
        "on_all_endpoints": all_of_them.permission if all_of_them else "",
        "on_some_endpoints": endpoints.exclude(resource_id=ANY).count(),
        "permissions": Permission.choices,
    }
    return render(request, "administration/user.html", context)


def _yes(request: HttpRequest) -> bool:
    return request.POST.get("set") == "yes"


def _back(request: HttpRequest, user: User, told: str) -> HttpResponse:
    messages.success(request, told)
    return redirect("accounts:user", user.username)
