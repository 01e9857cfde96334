"""What MLflow would tell or do for anybody who is signed in, and Studio does not (docs/compatibility.md)."""

from __future__ import annotations

from django.http import HttpResponseBase

from studio.accounts.models import RolePermission, UserRoleAssignment
from studio.accounts.permissions import ANY as EVERYTHING
from studio.accounts.permissions import WORKSPACE
from studio.mlflow import guards
from studio.mlflow.guards import Call, Table, denied

_NO_ASSISTANT = "MLflow's assistant runs programs on the server, for whoever calls it. Studio does not offer it."
_NO_JOBS = "The jobs of MLflow's own server are switched off in Studio."
# MLflow says 404 of what is not there, and 403 of what is somebody else's.
_TOLD_APART = (
    ("GET", "mlflow/metrics/get-history-bulk"),
    ("GET", "mlflow/metrics/get-history-bulk-interval"),
    ("GET", "mlflow/label-schemas/get"),
    ("PATCH", "mlflow/label-schemas/update"),
    ("DELETE", "mlflow/label-schemas/delete"),
    ("GET", "mlflow/review-queues/get"),
    ("GET", "mlflow/review-queues/items/list"),
    ("POST", "mlflow/review-queues/update"),
    ("POST", "mlflow/review-queues/delete"),
    ("POST", "mlflow/review-queues/items/add"),
    ("POST", "mlflow/review-queues/items/remove"),
    ("POST", "mlflow/review-queues/items/set-status"),
)


def register(table: Table) -> None:
    table.add(guards.ANY, "mlflow/assistant/<path:rest>", before=guards.closed(_NO_ASSISTANT))
    table.add("POST", "jobs/", before=guards.closed(_NO_JOBS))
    for method, route in _TOLD_APART:
        table.add(method, route, hides=True)
    table.add("GET", "mlflow/roles/list", before=_who_manages)
    for route in ("get", "permissions/list", "users/list"):
        table.add("GET", f"mlflow/roles/{route}", before=_who_holds_it)


def _who_manages(call: Call) -> HttpResponseBase | None:
    """All roles tell who may do what with which model, by name: MLflow shows them to all who hold one."""
    return None if _manages(call) else denied()


def _who_holds_it(call: Call) -> HttpResponseBase | None:
    number = str(call.parameters.get("role_id", ""))
    held = UserRoleAssignment.objects.filter(user__username=call.user.username)
    if number.isdecimal() and len(number) < 10 and held.filter(role_id=int(number)).exists():
        return None
    return _who_manages(call)


def _manages(call: Call) -> bool:
    """Whether the user is an administrator, or has MANAGE on the workspace."""
    if call.user.is_administrator:
        return True
    over_all = RolePermission.objects.filter(
        resource_type="workspace", resource_pattern=EVERYTHING, permission="MANAGE"
    )
    return over_all.filter(
        role__workspace=WORKSPACE, role__assignments__user__username=call.user.username
    ).exists()
