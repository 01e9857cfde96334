"""For each public method of AuthServiceClient: what it takes, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow.server.auth.client import AuthServiceClient

from studio.accounts.permissions import Level
from tests.walk.world import World

# Called with the id of the role that the granted user holds.
Call = Callable[[AuthServiceClient, World, int], Any]
READ, MANAGE = Level.READ, Level.MANAGE
_PASSWORD = "a password of the walker"


def _user(client: AuthServiceClient, world: World) -> str:
    """A user for the case to change. Made by the administrator, whoever asks."""
    return world.new_user(_PASSWORD)


def _on(world: World) -> tuple[str, str]:
    return "experiment", world.experiment


# The level that the granted user needs on everything; None: administrators only.
AUTH_CASES: dict[str, tuple[Level | None, Call]] = {
    "create_user": (None, lambda c, w, r: c.create_user(w.free_name(), _PASSWORD)),
    "get_user": (None, lambda c, w, r: c.get_user(_user(c, w))),
    "update_user_password": (
        None,
        lambda c, w, r: c.update_user_password(_user(c, w), "another password of his"),
    ),
    "update_user_admin": (None, lambda c, w, r: c.update_user_admin(_user(c, w), True)),
    "delete_user": (None, lambda c, w, r: c.delete_user(_user(c, w))),
    "create_role": (None, lambda c, w, r: c.create_role("default", w.free_name())),
    "get_role": (READ, lambda c, w, r: c.get_role(r)),
    "list_roles": (None, lambda c, w, r: c.list_roles("default")),
    "list_all_roles": (None, lambda c, w, r: c.list_all_roles()),
    "update_role": (None, lambda c, w, r: c.update_role(w.new_role(), description="x")),
    "delete_role": (None, lambda c, w, r: c.delete_role(w.new_role())),
    "add_role_permission": (
        None,
        lambda c, w, r: c.add_role_permission(w.new_role(), *_on(w), "READ"),
    ),
    "remove_role_permission": (
        None,
        lambda c, w, r: c.remove_role_permission(w.new_role_permission()),
    ),
    "list_role_permissions": (READ, lambda c, w, r: c.list_role_permissions(r)),
    "update_role_permission": (
        None,
        lambda c, w, r: c.update_role_permission(w.new_role_permission(), "EDIT"),
    ),
    "assign_role": (None, lambda c, w, r: c.assign_role(_user(c, w), w.new_role())),
    "unassign_role": (None, lambda c, w, r: c.unassign_role(*w.new_assignment(_PASSWORD))),
    "list_user_roles": (None, lambda c, w, r: c.list_user_roles(_user(c, w))),
    "list_role_users": (None, lambda c, w, r: c.list_role_users(r)),
    "grant_user_permission": (
        MANAGE,
        lambda c, w, r: c.grant_user_permission(_user(c, w), *_on(w), "READ"),
    ),
    "revoke_user_permission": (
        MANAGE,
        lambda c, w, r: c.revoke_user_permission(w.new_grantee(_PASSWORD), *_on(w)),
    ),
    "get_user_permission": (None, lambda c, w, r: c.get_user_permission(_user(c, w), *_on(w))),
}
