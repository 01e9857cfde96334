"""The doors to registered models and their versions. A stranger learns nothing of their existence."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from registry.models import ModelVersion, RegisteredModel
from studio.accounts.access import reach
from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE, Level


def models_for(user: User | AnonymousUser, needs: Level = Level.READ) -> QuerySet[RegisteredModel]:
    found = RegisteredModel.objects.visible_to(user, needs)
    return found.filter(workspace=WORKSPACE).without_prompts()


def model_for(user: User | AnonymousUser, name: str, needs: Level = Level.READ) -> RegisteredModel:
    """Return the model. Raises NotFound, and Forbidden where the user's level is below `needs`."""
    found = RegisteredModel.objects.filter(workspace=WORKSPACE, name=name).without_prompts()
    return reach(found, user, needs, f"There is no registered model named {name!r}.")


def versions_for(user: User | AnonymousUser) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.visible_to(user).filter(workspace=WORKSPACE).kept()


def version_for(user: User | AnonymousUser, name: str, version: int) -> ModelVersion:
    """Return the version, or NotFound."""
    found = ModelVersion.objects.kept().filter(workspace=WORKSPACE, name=name, version=version)
    missing = f"There is no version {version} of a registered model named {name!r}."
    return reach(found, user, Level.READ, missing)
