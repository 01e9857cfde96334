"""Who gave whom which of MLflow's permissions: every change through MLflow's own API is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studio.accounts.models import Role, RolePermission
from studio.accounts.services import record
from studio.mlflow.guards import Call, Table


def register(table: Table) -> None:
    for method, route, action, target in (
        ("POST", "mlflow/users/permissions/grant", "grant.give", _granted),
        ("POST", "mlflow/users/permissions/revoke", "grant.take", _revoked),
        ("POST", "mlflow/roles/create", "role.create", _new_role),
        ("PATCH", "mlflow/roles/update", "role.update", _changed_role),
        ("DELETE", "mlflow/roles/delete", "role.delete", _role),
        ("POST", "mlflow/roles/assign", "role.assign", _assigned),
        ("DELETE", "mlflow/roles/unassign", "role.unassign", _assigned),
        ("POST", "mlflow/roles/permissions/add", "role.give", _new_permission),
        ("PATCH", "mlflow/roles/permissions/update", "role.change", _changed_permission),
        ("DELETE", "mlflow/roles/permissions/remove", "role.take", _permission),
    ):
        _account(table, method, route, action, target)


def _account(
    table: Table, method: str, route: str, action: str, target: Callable[[Call], str]
) -> None:
    """Record the action once MLflow has done it, with a target that is named before: it may be gone then."""

    def before(call: Call) -> None:
        call.kept["target"] = target(call)

    def after(call: Call, answer: Any) -> None:
        record(actor=call.user, action=action, target=call.kept["target"])

    table.add(method, route, before=before, after=after)


def _granted(call: Call) -> str:
    told = call.parameters.get
    return (
        f"{told('username')}: {told('permission')} on {told('resource_type')} {told('resource_id')}"
    )


def _revoked(call: Call) -> str:
    told = call.parameters.get
    return f"{told('username')}: {told('resource_type')} {told('resource_id')}"


def _new_role(call: Call) -> str:
    return f"{call.parameters.get('name')} in workspace {call.parameters.get('workspace')}"


def _role(call: Call) -> str:
    number = _number(call, "role_id")
    role = Role.objects.filter(pk=number).first()
    return f"{role.name if role else '?'} ({number})"


def _changed_role(call: Call) -> str:
    name = call.parameters.get("name")
    return f"{_role(call)}: name {name}" if name else f"{_role(call)}: description"


def _assigned(call: Call) -> str:
    return f"{call.parameters.get('username')}: {_role(call)}"


def _new_permission(call: Call) -> str:
    told = call.parameters.get
    return (
        f"{_role(call)}: {told('permission')} on {told('resource_type')} {told('resource_pattern')}"
    )


def _permission(call: Call) -> str:
    number = _number(call, "role_permission_id")
    row = RolePermission.objects.select_related("role").filter(pk=number).first()
    if row is None:
        return f"permission {number}"
    return f"{row.role.name} ({row.role.pk}): {row.permission} on {row.resource_type} {row.resource_pattern}"


def _changed_permission(call: Call) -> str:
    return f"{_permission(call)}, now {call.parameters.get('permission')}"


def _number(call: Call, name: str) -> int:
    """The id as MLflow understands it, or 0, which no row has."""
    try:
        return int(call.parameters.get(name, ""))
    except (TypeError, ValueError, OverflowError):
        return 0
