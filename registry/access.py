"""The doors to registered models and their versions. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from registry.models import WORKSPACE, ModelVersion, RegisteredModel
from studio.accounts.access import admit
from studio.accounts.models import User
from studio.lib.errors import NotFound


def models_for(user: User | AnonymousUser) -> QuerySet[RegisteredModel]:
    found = RegisteredModel.objects.visible_to(admit(user)).without_prompts()
    return found.filter(workspace=WORKSPACE)


def model_for(user: User | AnonymousUser, name: str) -> RegisteredModel:
    """Return the model, or NotFound."""
    try:
        return RegisteredModel.objects.visible_to(user).get(workspace=WORKSPACE, name=name)
    except RegisteredModel.DoesNotExist:
        raise NotFound(f"There is no registered model named {name!r}.") from None


def versions_for(user: User | AnonymousUser) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.visible_to(admit(user)).filter(workspace=WORKSPACE).kept()


def version_for(user: User | AnonymousUser, name: str, version: int) -> ModelVersion:
    """Return the version, or NotFound."""
    try:
        return (
            ModelVersion.objects.visible_to(user)
            .kept()
            .get(workspace=WORKSPACE, name=name, version=version)
        )
    except (ModelVersion.DoesNotExist, OverflowError):
        raise NotFound(
            f"There is no version {version} of a registered model named {name!r}."
        ) from None
