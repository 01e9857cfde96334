"""The registered models that the reading rows read, in MLflow's tables: the same on each side that has a registry."""

from __future__ import annotations

from collections.abc import Iterator

from studio.accounts.permissions import WORKSPACE
from tests.bench.copying import Rows
from tests.bench.seeded_runs import run_id

MODELS, VERSIONS = 5000, 20  # versions of each model
VERSION_VALUES = 2  # tags of each version
_STAGES = {18: "Production", 19: "Staging"}  # by version; the others have none
MODEL_VALUES = 2 + 1 + (1 + len(_STAGES)) * VERSION_VALUES  # tags, an alias, the latest versions'
ALIAS = "champion"
_START = 1_700_000_000_000  # milliseconds
_MODEL = ["workspace", "name", "creation_time", "last_updated_time", "description"]
_VERSION = [
    "workspace",
    "name",
    "version",
    "creation_time",
    "last_updated_time",
    "description",
    "user_id",
    "current_stage",
    "source",
    "storage_location",
    "run_id",
    "status",
]
_Made = Iterator[tuple[object, ...]]


def model_name(number: int) -> str:
    return f"model-{number}"


def champion(number: int) -> int:
    """The version that has the alias, of the model with this number."""
    return VERSIONS - number % 5


def models() -> list[Rows]:
    tag, alias = ["workspace", "name", "key", "value"], ["workspace", "name", "alias", "version"]
    of_version = ["workspace", "name", "version", "key", "value"]
    return [
        Rows("registered_models", _MODEL, _models()),
        Rows("registered_model_tags", tag, _tags()),
        Rows("model_versions", _VERSION, _versions()),
        Rows("model_version_tags", of_version, _version_tags()),
        Rows("registered_model_aliases", alias, _aliases()),
    ]


def _models() -> _Made:
    for n in range(MODELS):
        told = f"Predicts what people asked for in ticket {n}."
        yield WORKSPACE, model_name(n), _registered(n, 1) - 500, _registered(n, VERSIONS), told


def _tags() -> _Made:
    for n in range(MODELS):
        yield WORKSPACE, model_name(n), "team", f"team-{n % 7}"
        yield WORKSPACE, model_name(n), "task", f"as people write {n % 11}"


def _aliases() -> _Made:
    return ((WORKSPACE, model_name(n), ALIAS, champion(n)) for n in range(MODELS))


def _versions() -> _Made:
    for n in range(MODELS):
        name = model_name(n)
        for version in range(1, VERSIONS + 1):
            at = _registered(n, version)
            stage = _STAGES.get(version, "None")
            # No run that is there: the registry does not look.
            run = run_id(name, version)
            source = f"mlflow-artifacts:/bench/{run}/model"
            of_it = (WORKSPACE, name, version, at, at, f"attempt {version}", "alice", stage)
            yield *of_it, source, source, run, "READY"


def _version_tags() -> _Made:
    for n in range(MODELS):
        name = model_name(n)
        for version in range(1, VERSIONS + 1):
            yield WORKSPACE, name, version, "validated", f"by {(n + version) % 13}"
            yield WORKSPACE, name, version, "dataset", f"2026-{(n * 7919 + version) % 12 + 1:02}"


def _registered(number: int, version: int) -> int:
    """When: no two at once, and the models in no order. 7919 is a prime that does not divide MODELS."""
    return _START + ((version - 1) * MODELS + number * 7919 % MODELS) * 1000
