"""Administrators' door to users, and what their pages read. For everybody else there is no such place."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.models import AnonymousUser
from django.db.models import ProtectedError, QuerySet
from django.db.models.deletion import Collector
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from studio.accounts.access import signed_in
from studio.accounts.models import RolePermission, User
from studio.lib.errors import NotFound

_Rest = ParamSpec("_Rest")
_View = Callable[Concatenate[HttpRequest, _Rest], HttpResponse]


def administrator(user: User | AnonymousUser, path: str) -> User:
    """Return the user, who is an administrator. Raises NotFound, in the words for an address that is not there."""
    found = signed_in(user)
    if not found.is_administrator:
        raise NotFound(f"There is no page at {path}.")
    return found


def administrators_only(view: _View[_Rest]) -> _View[_Rest]:
    """Have a page answer 404 to everybody else."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> HttpResponse:
        administrator(request.user, request.path)
        return view(request, *args, **kwargs)

    return guarded


class AdministratorView(APIView):
    """A view of /api/v1 that answers 404 to everybody else, whatever the method."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        administrator(request.user, request.path)


def user_for(username: str) -> User:
    """Return the user, for an administrator. Raises NotFound."""
    try:
        return User.objects.get(username=username)
    except User.DoesNotExist:
        raise NotFound(f"There is no user named {username!r}.") from None


def user_list(search: str) -> QuerySet[User]:
    users = User.objects.order_by("username")
    return users.filter(username__icontains=search) if search else users


def mlflow_grants(user: User) -> QuerySet[RolePermission]:
    """What MLflow's roles give the user. Its own role holds what was given directly."""
    own = RolePermission.objects.filter(role__assignments__user__username=user.username)
    return own.select_related("role").order_by("resource_type", "resource_pattern", "role__name")


def kept_by(user: User) -> list[str]:
    """What the user made that stays, and for which the user cannot be deleted."""
    try:
        Collector(using="default").collect([user])
    except ProtectedError as refused:
        return sorted({str(row) for row in refused.protected_objects})
    return []
