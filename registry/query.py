"""What pages and deployments read of the registry."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F, Max, OuterRef, QuerySet, Subquery

from registry.models import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
)
from studio.accounts.permissions import WORKSPACE
from studio.lib import artifacts
from studio.lib.errors import NotFound
from tracking.models import LoggedModel, Run

_MODEL_ID = re.compile(r"models:/(m-[0-9a-f]+)/?")
_RUN_PATH = re.compile(r"runs:/([0-9a-f]{32})/(.+)")
_VERSION = re.compile(r"models:/([^/]+)/(\d{1,9}|(?i:latest))")
_ALIAS = re.compile(r"models:/([^/]+)@([^/@]+)")  # a name may hold an @ too: the last one counts


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: ModelVersion
    aliases: list[str]
    run: Run | None


def model_list(models: QuerySet[RegisteredModel], text: str) -> QuerySet[RegisteredModel]:
    """Registered models, the one changed last first, each with its latest version's number."""
    found = models.filter(name__icontains=text) if text else models
    versions = ModelVersion.objects.kept().filter(workspace=WORKSPACE, name=OuterRef("name"))
    latest = versions.values("name").annotate(latest=Max("version")).values("latest")
    return found.annotate(latest=Subquery(latest)).order_by(
        F("last_updated_time").desc(nulls_last=True), "name"
    )


def aliases_of(names: Iterable[str]) -> dict[str, dict[int, list[str]]]:
    """Aliases by model name and version."""
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for alias in RegisteredModelAlias.objects.filter(workspace=WORKSPACE, name__in=names).order_by(
        "alias"
    ):
        found[alias.name][alias.version].append(alias.alias)
    return found


def version_list(
    model: RegisteredModel, versions: QuerySet[ModelVersion], visible: QuerySet[Run]
) -> list[VersionRow]:
    """A model's versions, the newest first, with their aliases and, of those visible, their runs."""
    found = list(versions.filter(name=model.name).order_by("-version"))
    aliases = aliases_of([model.name])[model.name]
    runs = visible.in_bulk([version.run_id for version in found if version.run_id])
    return [
        VersionRow(version, aliases[version.version], runs.get(version.run_id or ""))
        for version in found
    ]


def tags_of(version: ModelVersion) -> QuerySet[ModelVersionTag]:
    return ModelVersionTag.objects.filter(
        workspace=WORKSPACE, name=version.name, version=version.version
    ).order_by("key")


def parse_uri(versions: QuerySet[ModelVersion], uri: str) -> ModelVersion:
    """The version that `models:/name/3`, `models:/name/latest` or `models:/name@alias` means now. Raises NotFound."""
    found: ModelVersion | None = None
    if match := _VERSION.fullmatch(uri):
        name, number = match.groups()
        of_name = versions.filter(name=name)
        found = (
            (of_name if number.lower() == "latest" else of_name.filter(version=number))
            .order_by("-version")
            .first()
        )
    elif match := _ALIAS.fullmatch(uri):
        name, alias = match.groups()
        row = RegisteredModelAlias.objects.filter(
            workspace=WORKSPACE, name=name, alias=alias
        ).first()
        found = versions.filter(name=name, version=row.version).first() if row else None
    if found is None:
        raise NotFound(
            f"There is no model version {uri!r}. Write models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    return found


def storage_of(version: ModelVersion) -> str:
    """The artifact address of a version's files, MLflow's own references followed. Raises NotFound."""
    source = version.storage_location or version.source or ""
    if match := _MODEL_ID.fullmatch(source):
        model = LoggedModel.objects.filter(pk=match[1]).first()
        if model is None:
            raise NotFound(
                f"{version} points to the logged model {match[1]}, which is no longer there."
            )
        return model.artifact_location
    if match := _RUN_PATH.fullmatch(source):
        run = Run.objects.filter(pk=match[1]).first()
        if run is None or not run.artifact_uri:
            raise NotFound(f"{version} points to the run {match[1]}, which is no longer there.")
        return f"{run.artifact_uri.rstrip('/')}/{match[2]}"
    return source


def folder_of(version: ModelVersion) -> artifacts.Folder:
    """The folder with a version's files. Raises NotFound: not there, or not below STUDIO_ARTIFACTS."""
    folder = artifacts.folder_of(storage_of(version))
    try:
        folder.entry("MLmodel")
    except NotFound:
        raise NotFound(
            f"The files of {version} have no MLmodel file at {storage_of(version)}: it is not an MLflow model."
        ) from None
    return folder
