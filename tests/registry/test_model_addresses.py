"""Which version an address means, and where the files of a version lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry.models import (
    ModelVersion,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from registry.query import folder_of, model_list, parse_uri, storage_of
from studio.accounts.permissions import WORKSPACE
from studio.lib.errors import NotFound
from tests.support.rows import make_version
from tracking.models import LoggedModel, Run

pytestmark = pytest.mark.django_db
DELETED = "Deleted_Internal"


@pytest.fixture
def registry() -> None:
    """churn 1, 2, 3 and a deleted 4; @champion is 2, @gone is 4; a@b 1, which is @prod; an empty model."""
    for number in (1, 2, 3):
        make_version("churn", number)
    make_version("churn", 4, current_stage=DELETED)
    make_version("a@b", 1)
    make_version("Ünïcode model", 12)
    RegisteredModel.objects.create(workspace=WORKSPACE, name="empty")
    for name, alias, number in (
        ("churn", "champion", 2),
        ("churn", "gone", 4),
        ("churn", "nowhere", 9),
        ("a@b", "prod", 1),
    ):
        RegisteredModelAlias.objects.create(
            workspace=WORKSPACE, name=name, alias=alias, version=number
        )


@pytest.mark.parametrize(
    ("uri", "name", "number"),
    [
        ("models:/churn/1", "churn", 1),
        ("models:/churn/3", "churn", 3),
        ("models:/churn/003", "churn", 3),
        ("models:/churn/latest", "churn", 3),
        ("models:/churn/LATEST", "churn", 3),
        ("models:/churn@champion", "churn", 2),
        ("models:/a@b/1", "a@b", 1),
        ("models:/a@b/latest", "a@b", 1),
        ("models:/a@b@prod", "a@b", 1),
        ("models:/Ünïcode model/12", "Ünïcode model", 12),
    ],
)
def test_an_address_means_a_version(registry: None, uri: str, name: str, number: int) -> None:
    found = parse_uri(ModelVersion.objects.kept(), uri)
    assert (found.name, found.version) == (name, number)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "churn",
        "churn/1",
        "models:/",
        "models:/churn",
        "models:/churn/",
        "models:/churn/4",
        "models:/churn/5",
        "models:/churn/0",
        "models:/churn/-1",
        "models:/churn/1.0",
        "models:/churn/1/",
        "models:/churn/1\n",
        "models:/churn/1000000000000000001",
        "models:/churn/Production",
        "models:/churn@",
        "models:/churn@gone",
        "models:/churn@nowhere",
        "models:/churn@unknown",
        "models:/churn@champion/1",
        "models:/@champion",
        "models:/empty/latest",
        "models:/unknown/1",
        "models://churn/1",
        "models:/m-0123456789abcdef",
        "runs:/0123456789abcdef0123456789abcdef/model",
        "mlflow-artifacts:/models/churn-1",
        "file:///etc",
        "MODELS:/churn/1",
    ],
)
def test_an_address_that_means_no_version_is_not_found(registry: None, uri: str) -> None:
    with pytest.raises(NotFound, match="There is no model version"):
        parse_uri(ModelVersion.objects.kept(), uri)


def test_an_address_means_only_a_version_that_its_user_sees(registry: None) -> None:
    with pytest.raises(NotFound):
        parse_uri(ModelVersion.objects.none(), "models:/churn/1")


@pytest.fixture
def run(make_experiment: Callable[..., Any], make_run: Callable[..., Run]) -> Run:
    return make_run(make_experiment(), artifact_uri="mlflow-artifacts:/1/run/artifacts/")


@pytest.fixture
def logged(run: Run) -> LoggedModel:
    return LoggedModel.objects.create(
        experiment=run.experiment, name="model", model_id="m-0123456789abcdef",  # type: ignore[misc]
        artifact_location="mlflow-artifacts:/1/models/m-0123456789abcdef/artifacts", status=2,
        creation_timestamp_ms=1, last_updated_timestamp_ms=1, source_run_id=run.pk,
    )  # fmt: skip


def test_a_version_of_a_logged_model_lies_where_that_lies(logged: LoggedModel) -> None:
    for source in (f"models:/{logged.pk}", f"models:/{logged.pk}/"):
        assert storage_of(ModelVersion(source=source)) == logged.artifact_location


def test_a_version_of_a_run_lies_below_its_artifacts(run: Run) -> None:
    version = ModelVersion(source=f"runs:/{run.pk}/sub/model")
    assert storage_of(version) == "mlflow-artifacts:/1/run/artifacts/sub/model"


def test_the_place_that_mlflow_keeps_counts_before_the_source(logged: LoggedModel) -> None:
    version = ModelVersion(source="models:/other/1", storage_location=f"models:/{logged.pk}")
    assert storage_of(version) == logged.artifact_location


@pytest.mark.parametrize(
    "source", ["mlflow-artifacts:/1/x", "s3://bucket/model", "models:/other/1", "/srv/x", ""]
)  # fmt: skip
def test_any_other_place_is_told_as_it_is(source: str) -> None:
    assert storage_of(ModelVersion(source=source)) == source


@pytest.mark.parametrize("source", ["models:/m-0000", f"runs:/{'0' * 32}/model"])
def test_a_place_that_is_gone_is_not_found(source: str) -> None:
    with pytest.raises(NotFound, match="no longer there"):
        storage_of(ModelVersion(name="churn", version=1, source=source))


def test_a_run_without_artifacts_has_no_model(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(artifact_uri=None)
    with pytest.raises(NotFound, match="no longer there"):
        storage_of(ModelVersion(source=f"runs:/{run.pk}/model"))


def test_the_files_of_a_version_are_a_folder(settings: Settings, tmp_path: Path) -> None:
    settings.ARTIFACTS = tmp_path
    version = make_version(files={"MLmodel": "flavors: {}"})
    assert str(folder_of(version)) == str(tmp_path / "models" / "churn-1")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("mlflow-artifacts:/models/none", "have no MLmodel file"),
        ("mlflow-artifacts:/" + "x" * 300, "have no MLmodel file"),
        ("mlflow-artifacts:/..", "STUDIO_ARTIFACTS"),
        ("mlflow-artifacts:/", "STUDIO_ARTIFACTS"),
        ("file:///etc", "STUDIO_ARTIFACTS"),
        ("s3://bucket/model", "STUDIO_ARTIFACTS"),
        ("models:/other/1", "STUDIO_ARTIFACTS"),
        ("", "STUDIO_ARTIFACTS"),
    ],
)
def test_files_that_are_not_there_are_told(
    settings: Settings, tmp_path: Path, place: str, told: str
) -> None:
    settings.ARTIFACTS = tmp_path / "artifacts"
    (tmp_path / "MLmodel").write_text("flavors: {}")
    with pytest.raises(NotFound, match=told):
        folder_of(ModelVersion(name="churn", version=1, source=place))


def test_prompts_are_not_models(registry: None) -> None:
    make_version("greeting", 1)
    RegisteredModelTag.objects.create(
        workspace=WORKSPACE, name="greeting", key="mlflow.prompt.is_prompt", value="true"
    )
    names = {model.name for model in model_list(RegisteredModel.objects.without_prompts(), "")}
    assert names == {"churn", "a@b", "Ünïcode model", "empty"}


def test_models_are_listed_with_their_latest_version_the_changed_first(registry: None) -> None:
    RegisteredModel.objects.filter(name="a@b").update(last_updated_time=2_000_000_000_000)
    models = list(model_list(RegisteredModel.objects.all(), ""))
    assert models[0].name == "a@b"
    assert models[-1].name == "empty"
    latest = {model.name: getattr(model, "latest", "absent") for model in models}
    assert latest == {"churn": 3, "a@b": 1, "Ünïcode model": 12, "empty": None}


@pytest.mark.parametrize(("text", "found"), [("CHU", {"churn"}), ("%", set()), ("@", {"a@b"})])
def test_models_are_found_by_a_part_of_their_name(
    registry: None, text: str, found: set[str]
) -> None:
    assert {model.name for model in model_list(RegisteredModel.objects.all(), text)} == found
