"""Calls to MLflow's REST API on behalf of a user, for what Studio does through MLflow and not by itself."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings

from studio.accounts.models import Permission, RolePermission, User
from studio.accounts.query import direct_grant
from studio.accounts.services import record
from studio.lib.errors import Conflict, Forbidden, StudioError
from studio.mlflow import identity, upstream

_API = "/api/3.0/mlflow"


class MlflowRefused(StudioError):
    """MLflow's server said no. `status` and `message` are its own."""

    code = "mlflow"

    def __init__(self, message: str, status: int, error_code: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code


def call(username: str, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call MLflow's REST API as this user and return its answer. Raises MlflowRefused, Unavailable."""
    headers = {
        "content-type": "application/json",
        identity.HEADER: identity.header_for(username, settings.IDENTITY_KEY),
    }
    request = upstream.client().build_request(
        method, path, content=orjson.dumps(body), headers=headers
    )
    response = upstream.send(request)
    try:
        content = response.read()
    finally:
        response.close()
    answer: dict[str, Any] = orjson.loads(content) if content.startswith(b"{") else {}
    if response.status_code >= 400:
        message = answer.get("message") or content.decode(errors="replace")
        raise MlflowRefused(message, response.status_code, answer.get("error_code", ""))
    return answer


def give(
    *, user: User, resource_type: str, resource_id: str, permission: Permission, by: User
) -> None:
    """Grant a permission on a resource of MLflow's, in place of the user's direct one.

    MLflow changes a grant in one step for administrators alone. For others the old one is taken first: for a
    moment the user has neither. Raises Conflict where that cannot be, Forbidden, MlflowRefused, Unavailable.
    """
    on = {"username": user.username, "resource_type": resource_type, "resource_id": resource_id}
    held = direct_grant(user, resource_type, resource_id)
    if held is None:
        _tell(by, "POST", "users/permissions/grant", on | {"permission": permission})
    elif held.permission == permission:
        return
    elif not _changed(held, permission, by):
        if user == by:
            raise Conflict(
                "Nobody changes their own permission here: MLflow takes the old one first, and then you "
                "could not give yourself another. Remove it, or ask somebody else who has Manage."
            )
        take(user=user, resource_type=resource_type, resource_id=resource_id, by=by)
        try:
            _tell(by, "POST", "users/permissions/grant", on | {"permission": permission})
        except StudioError as failure:
            raise Conflict(
                f"{user.username} had {held.permission}, which is taken, and was not given {permission}: "
                f"{failure.message} Give it once more."
            ) from failure
    target = f"{user.username}: {permission} on {resource_type} {resource_id}"
    record(actor=by, action="grant.give", target=target)


def take(*, user: User, resource_type: str, resource_id: str, by: User) -> None:
    """Remove what the user was granted directly on a resource of MLflow's.

    Raises MlflowRefused where there is nothing, Forbidden, Unavailable.
    """
    on = {"username": user.username, "resource_type": resource_type, "resource_id": resource_id}
    _tell(by, "POST", "users/permissions/revoke", on)
    target = f"{user.username}: {resource_type} {resource_id}"
    record(actor=by, action="grant.take", target=target)


def _changed(held: RolePermission, permission: Permission, by: User) -> bool:
    """Change a grant in one step, as MLflow does for administrators. False: it does not for this user."""
    body = {"role_permission_id": held.pk, "permission": permission}
    try:
        _tell(by, "PATCH", "roles/permissions/update", body)
    except Forbidden:
        return False
    return True


def _tell(by: User, method: str, route: str, body: dict[str, Any]) -> None:
    """Call as `call` does. Raises Forbidden in place of MLflow's bare words for it."""
    try:
        call(by.username, method, f"{_API}/{route}", body)
    except MlflowRefused as refused:
        if refused.status != 403:
            raise
        raise Forbidden(
            "MLflow does not let you change who has access here: you need Manage, and may have lost it."
        ) from refused
