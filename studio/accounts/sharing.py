"""The page on which people give each other access. One for all: an app says what it is about and where its grants are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from studio.accounts.access import signed_in
from studio.accounts.models import Permission, User
from studio.accounts.query import Holding, would_manage
from studio.lib.errors import StudioError

_PAGE = 100
_NAMES = 500  # of users, to choose from: every other name is taken too


class Grants(Protocol):
    """Where the grants on a resource are written: a module of services."""

    def give(
        self, *, user: User, resource_type: str, resource_id: str, permission: Permission, by: User
    ) -> None: ...

    def take(self, *, user: User, resource_type: str, resource_id: str, by: User) -> None: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What is shared: `row`, which the door has let through with MANAGE.

    `meanings` says of each permission what it allows. `listing` is the address of the list with such rows,
    for who has just lost the right to see the page. `lowers_own`: whether a person can change his own MANAGE
    to something less.
    """

    row: object
    resource_type: str
    resource_id: str
    holdings: Callable[[str, str], list[Holding]]
    grants: Grants
    template: str
    meanings: Mapping[Permission, str]
    listing: str
    lowers_own: bool = True

    def read(self) -> list[Holding]:
        return self.holdings(self.resource_type, self.resource_id)


class ShareForm(forms.Form):
    """Gives a permission, in place of the user's direct one; or removes that."""

    username = forms.CharField(max_length=150, label="User")
    permission = forms.ChoiceField(choices=Permission.choices, required=False)
    remove = forms.BooleanField(required=False)
    sure = forms.BooleanField(required=False, help_text="Of what ends one's own MANAGE.")

    def clean_username(self) -> User:
        name = self.cleaned_data["username"]
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist:
            raise forms.ValidationError(
                f"There is no user named {name!r}. Names mind capital letters."
            ) from None

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not given.get("remove") and not given.get("permission"):
            self.add_error("permission", "Choose a permission.")
        return given

    @property
    def user(self) -> User:
        user = self.cleaned_data["username"]
        assert isinstance(user, User)
        return user

    @property
    def wanted(self) -> str:
        """Empty: the user shall have none by name."""
        return "" if self.cleaned_data["remove"] else str(self.cleaned_data["permission"])


def page(request: HttpRequest, shared: Shared) -> HttpResponse:
    """Show who may do what, and do what the form asks. Who would end his own MANAGE is asked first."""
    by = signed_in(request.user)
    form = ShareForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _shown(request, shared, form, status=422 if form.is_bound else 200)
    stays = form.user != by or would_manage(shared.read(), by, form.wanted)
    if not stays and not form.cleaned_data["sure"]:
        return _shown(request, shared, form, status=422, ends_own=True)
    try:
        told = _write(shared, form.user, form.wanted, by)
    except StudioError as refused:
        form.add_error(None, refused.message)
        return _shown(request, shared, form, status=max(refused.status, 422))
    messages.success(request, told)
    return redirect(request.path if stays else shared.listing)


def _write(shared: Shared, user: User, permission: str, by: User) -> str:
    """Do it, and return the sentence that says so. Raises what the grants raise."""
    on = {"resource_type": shared.resource_type, "resource_id": shared.resource_id}
    if permission:
        shared.grants.give(user=user, **on, permission=Permission(permission), by=by)
        return f"{user.username} has {Permission(permission).label} on {shared.row}."
    shared.grants.take(user=user, **on, by=by)
    return f"{user.username} has no permission of their own on {shared.row} any more."


def _shown(
    request: HttpRequest, shared: Shared, form: ShareForm, *, status: int, ends_own: bool = False
) -> HttpResponse:
    search = request.GET.get("search", "").strip()
    found = [one for one in shared.read() if search.lower() in one.username.lower()]
    active = User.objects.filter(is_active=True).order_by("username")
    context = {
        "row": shared.row,
        "page": Paginator(found, _PAGE).get_page(request.GET.get("page")),
        "search": search,
        "form": form,
        "ends_own": ends_own,
        "lowers_own": shared.lowers_own,
        "choices": Permission.choices,
        "meanings": [(word.label, told) for word, told in shared.meanings.items()],
        "names": active.values_list("username", flat=True)[:_NAMES],
    }
    return render(request, shared.template, context, status=status)
