"""MLflow's grants as MLflow writes them, and three things that people give access to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from endpoints.models import ENDPOINT
from studio.accounts.models import (
    Grant,
    MlflowUser,
    Permission,
    Role,
    RolePermission,
    User,
    UserRoleAssignment,
)
from studio.accounts.permissions import ANY, WORKSPACE
from tests.support.rows import make_experiment, make_version
from tests.support.serving import make_endpoint


def grant_mlflow(user: User, kind: str, pattern: object, word: str, role: str = "") -> None:
    """Through the named role, or directly."""
    holder = MlflowUser.objects.get(username=user.username)
    made, _ = Role.objects.get_or_create(name=role or f"__user_{holder.pk}__", workspace=WORKSPACE)
    UserRoleAssignment.objects.get_or_create(user=holder, role=made)
    RolePermission.objects.update_or_create(
        role=made,
        resource_type=kind,
        resource_pattern=str(pattern),
        defaults={"permission": word},
    )


def grant_studio(user: User, kind: str, pattern: object, word: str) -> None:
    Grant.objects.update_or_create(
        user=user,
        resource_type=kind,
        resource_id=str(pattern),
        defaults={"permission": Permission(word)},
    )


@dataclass(frozen=True)
class Thing:
    """Something of alice's, with its page and how permissions on it are stored."""

    kind: str
    pk: str
    path: str
    grant: Callable[[User, str, object, str], None]

    @property
    def page(self) -> str:
        return f"{self.path}access/"

    def give(self, user: User, word: str) -> None:
        self.grant(user, self.kind, self.pk, word)

    def give_all(self, user: User, word: str) -> None:
        self.grant(user, self.kind, ANY, word)


def make_thing(kind: str, alice: User) -> Thing:
    if kind == "experiment":
        experiment = make_experiment("secret")
        return Thing(kind, str(experiment.pk), experiment.get_absolute_url(), grant_mlflow)
    if kind == "registered_model":
        return Thing(kind, make_version("secret").name, "/models/secret/", grant_mlflow)
    endpoint = make_endpoint(alice, "secret")
    return Thing(ENDPOINT, str(endpoint.pk), endpoint.get_absolute_url(), grant_studio)
