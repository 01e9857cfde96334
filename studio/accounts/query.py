"""Who may do what with a resource, and where it comes from: what access pages read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from django.db.models import Q

from studio.accounts.models import (
    Grant,
    MlflowUser,
    Permission,
    RolePermission,
    User,
    UserRoleAssignment,
)
from studio.accounts.permissions import ANY, WORKSPACE


@dataclass(frozen=True, slots=True)
class Holding:
    """A permission that somebody has on a resource, and by what.

    `role` is MLflow's role that brings it, or empty: then it was given to the user. `everywhere`: on each
    resource of the type. What is `workspace` or `administrator` brings MANAGE, whatever else stands there.
    """

    username: str
    permission: str
    by: Literal["grant", "workspace", "administrator"] = "grant"
    role: str = ""
    everywhere: bool = False
    is_active: bool = True
    is_known: bool = True  # MLflow may have users from before Studio, who cannot sign in

    @property
    def is_direct(self) -> bool:
        """Given to the user on this very resource: what a page of it can change."""
        return self.by == "grant" and not self.role and not self.everywhere


def mlflow_holdings(resource_type: str, resource_id: str) -> list[Holding]:
    """Who has what on a resource of MLflow's, by name. Administrators are in it."""
    on_it = Q(
        role__permissions__resource_type=resource_type,
        role__permissions__resource_pattern__in=[resource_id, ANY],
    )
    on_everything = Q(
        role__permissions__resource_type="workspace",
        role__permissions__resource_pattern=ANY,
        role__permissions__permission=Permission.MANAGE,
    )
    found = UserRoleAssignment.objects.filter(on_it | on_everything, role__workspace=WORKSPACE)
    rows = found.values_list(
        "user_id",
        "user__username",
        "role__name",
        "role__permissions__resource_type",
        "role__permissions__resource_pattern",
        "role__permissions__permission",
    )
    return _with_people(
        Holding(
            username or "",
            permission,
            by="grant" if kind == resource_type else "workspace",
            role="" if role == _own_role(pk) else role,
            everywhere=pattern == ANY,
        )
        for pk, username, role, kind, pattern, permission in rows
    )


def studio_holdings(resource_type: str, resource_id: str) -> list[Holding]:
    """Who has what on a resource of Studio's own, by name. Administrators are in it."""
    found = Grant.objects.filter(resource_type=resource_type, resource_id__in=[resource_id, ANY])
    rows = found.values_list("user__username", "permission", "resource_id")
    return _with_people(
        Holding(username, permission, everywhere=pattern == ANY)
        for username, permission, pattern in rows
    )


def direct_grant(user: User, resource_type: str, resource_id: str) -> RolePermission | None:
    """What MLflow keeps of the user's own grant on this very resource of MLflow's."""
    row = MlflowUser.objects.get(username=user.username)
    return RolePermission.objects.filter(
        role__workspace=WORKSPACE,
        role__name=_own_role(row.pk),
        resource_type=resource_type,
        resource_pattern=resource_id,
    ).first()


def would_manage(holdings: Iterable[Holding], user: User, permission: str) -> bool:
    """Whether the user still had MANAGE with this permission given directly, or with none if it is empty."""
    own = [one for one in holdings if one.username == user.username and not one.is_direct]
    if any(one.by != "grant" for one in own):
        return True
    words = {permission, *(one.permission for one in own)}
    return Permission.MANAGE in words and Permission.DENY not in words


def _own_role(pk: int) -> str:
    """MLflow's role that holds what this user of MLflow's was given directly."""
    return f"__user_{pk}__"


def _with_people(found: Iterable[Holding]) -> list[Holding]:
    """Those found and the administrators, in order, each told apart by whether the user can sign in."""
    holdings = list(found)
    named = Q(username__in={one.username for one in holdings})
    people = {
        user.username: user
        for user in User.objects.filter(named | Q(is_superuser=True, is_active=True))
    }
    seen = [
        replace(one, is_known=one.username in people, is_active=_lets_in(people.get(one.username)))
        for one in holdings
    ]
    seen += [
        Holding(user.username, Permission.MANAGE, by="administrator")
        for user in people.values()
        if user.is_administrator
    ]
    return sorted(seen, key=lambda one: (one.username, not one.is_direct, one.by, one.role))


def _lets_in(user: User | None) -> bool:
    return user is not None and user.is_active
