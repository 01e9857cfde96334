"""Pages of registered models, and who may see them."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from registry import access, urls
from registry.models import (
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE
from studio.lib.errors import NotFound
from tests.support.grants import grant_mlflow
from tests.support.pages import Page, page
from tests.support.rows import make_version
from tracking.models import LoggedModel, Run

NAMES = sorted(pattern.name or "" for pattern in urls.urlpatterns)
FILES = {
    "MLmodel": json.dumps(
        {
            "flavors": {"python_function": {"python_version": "3.11.7"}, "sklearn": {}},
            "mlflow_version": "3.17.2",
            "saved_input_example_info": {"type": "dataframe"},
            "signature": {
                "inputs": '[{"name": "x", "type": "double"}, {"name": "y", "type": "long", "required": false}]',
                "outputs": '[{"type": "long"}]',
            },
        }
    ),
    "serving_input_example.json": '{"dataframe_split": {"columns": ["x"], "data": [[1.5]]}}',
    "requirements.txt": "mlflow==3.17.2\nscikit-learn==1.9\n",
}


@pytest.fixture(autouse=True)
def artifacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS = tmp_path / "artifacts"
    return tmp_path / "artifacts"


@pytest.fixture
def run(make_experiment: Callable[..., Any], make_run: Callable[..., Run]) -> Run:
    """A run that has logged a model."""
    run = make_run(make_experiment(), "training")
    LoggedModel.objects.create(
        experiment=run.experiment, name="classifier", model_id="m-1", status=2,  # type: ignore[misc]
        artifact_location="mlflow-artifacts:/m-1", lifecycle_stage="active",
        creation_timestamp_ms=1, last_updated_timestamp_ms=1, source_run_id=run.pk,
    )  # fmt: skip
    return run


def alias(name: str, version: int, alias: str) -> None:
    RegisteredModelAlias.objects.create(
        workspace=WORKSPACE, name=name, alias=alias, version=version
    )


def open_page(client: Client, path: str) -> Page:
    response = client.get(path)
    assert response.status_code == 200
    return page(response)


def facts(read: Page) -> dict[str, str]:
    return dict(zip(read.texts("dt"), read.texts("dd"), strict=True))


def test_models_are_listed_with_aliases_and_without_prompts(as_alice: Client) -> None:
    make_version("churn", 1)
    make_version("churn", 2)
    make_version("greeting", 1)
    RegisteredModelTag.objects.create(
        workspace=WORKSPACE, name="greeting", key="mlflow.prompt.is_prompt", value="true"
    )
    alias("churn", 1, "champion")
    alias("churn", 2, "challenger")
    read = open_page(as_alice, "/models/")
    assert read.link("churn") == "/models/churn/"
    assert read.link("version 2") == "/models/churn/versions/2/"
    assert {"@champion", "@challenger"} <= set(read.texts("span"))
    assert "greeting" not in read.texts("a")
    assert "No model is named like “greet”" in open_page(as_alice, "/models/?search=greet").texts(
        "h2"
    )


def test_a_studio_without_models_tells_how_to_register_one(as_alice: Client) -> None:
    assert "Register your first model" in open_page(as_alice, "/models/").texts("h2")
    RegisteredModel.objects.create(workspace=WORKSPACE, name="empty")
    assert open_page(as_alice, "/models/").link("empty") == "/models/empty/"
    assert "No versions yet" in open_page(as_alice, "/models/empty/").texts("h2")


def test_a_model_lists_its_versions_the_newest_first(as_alice: Client, run: Run) -> None:
    make_version("churn", 1, run_id=run.pk, user_id="alice")
    make_version("churn", 2, run_id="0" * 32)
    make_version("churn", 3, current_stage="Deleted_Internal")
    make_version("other", 7)
    alias("churn", 1, "champion")
    RegisteredModel.objects.filter(name="churn").update(description="first line\n<second>")
    read = open_page(as_alice, "/models/churn/")
    assert read.texts("td")[::6] == ["Version 2", "Version 1"]
    assert read.texts("td")[6:9] == ["Version 1", "@champion", "training"]
    assert read.link("training") == f"/runs/{run.pk}/"
    assert "2 versions" in read.texts("span")
    assert "first line<second>" in "".join(read.texts("p"))
    deploy = [a["href"] for a in read.all("a") if a.text.strip() == "Deploy"]
    assert deploy == [f"/models/churn/versions/{number}/deploy/" for number in (2, 1)]


def test_a_version_tells_what_its_files_say(as_alice: Client, run: Run) -> None:
    version = make_version("churn", 3, files=FILES, run_id=run.pk, description="for <b>2026</b>")
    ModelVersionTag.objects.create(
        workspace=WORKSPACE, name="churn", version=3, key="stage", value="prod"
    )
    alias("churn", 3, "champion")
    read = open_page(as_alice, version.get_absolute_url())
    assert read.texts("td") == [
        "x",
        "double",
        "input",
        "y",
        "long",
        "input, optional",
        "(unnamed)",
        "long",
        "output",
    ]
    assert facts(read)["Flavours"] == "python_function, sklearn"
    assert (facts(read)["MLflow"], facts(read)["Python"]) == ("3.17.2", "3.11.7")
    assert facts(read)["Run"] == "training"
    assert facts(read)["Description"] == "for <b>2026</b>"
    assert facts(read)["Tags"] == "stage: prod"
    assert "@champion" in read.texts("span")
    example, listed = read.texts("pre")
    assert json.loads(example) == json.loads(FILES["serving_input_example.json"])
    assert listed == "mlflow==3.17.2 scikit-learn==1.9"
    assert not [p for p in read.all("p") if p.attributes.get("role") == "alert"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "The files of churn v1 have no MLmodel file at mlflow-artifacts:/models/churn-1"),
        ({"files": {"MLmodel": "{"}}, "The MLmodel file cannot be read"),
        ({"source": "file:///etc"}, "STUDIO_ARTIFACTS"),
        ({"source": "s3://[x"}, "STUDIO_ARTIFACTS"),
        ({"source": None}, "STUDIO_ARTIFACTS"),
        ({"source": "models:/m-0"}, "no longer there"),
        ({"source": f"runs:/{'0' * 32}/model"}, "no longer there"),
    ],
)
def test_a_version_whose_files_cannot_be_read_says_why(
    as_alice: Client, given: dict[str, Any], told: str
) -> None:
    version = make_version("churn", 1, **given)
    read = open_page(as_alice, version.get_absolute_url())
    (alert,) = [p.text for p in read.all("p") if p.attributes.get("role") == "alert"]
    assert told in alert


def test_requirements_that_are_not_text_do_not_break_the_page(
    as_alice: Client, artifacts: Path
) -> None:
    version = make_version("churn", 1, files=FILES)
    (artifacts / "models" / "churn-1" / "requirements.txt").write_bytes(b"\xff\xfe\x00")
    assert "Requirements" not in open_page(as_alice, version.get_absolute_url()).texts("h2")


@pytest.mark.parametrize(
    "path",
    [
        "/models/unknown/",
        "/models/unknown/versions/1/",
        "/models/churn/versions/2/",
        "/models/churn/versions/9/",
        "/models/churn/versions/99999999999/",
        f"/models/churn/versions/{10**30}/",
        "/models/churn/versions/one/",
        f"/models/{'x' * 5000}/",
    ],
)
def test_what_is_not_there_is_404(as_alice: Client, path: str) -> None:
    make_version("churn", 1)
    make_version("churn", 2, current_stage="Deleted_Internal")
    assert as_alice.get(path).status_code == 404


@pytest.mark.parametrize(
    "name",
    ["<b>x", 'quo"te', "it's", "a b", "50% & more?", "größe ✓", "a#b", "a+b", "a@b", "..."],
)
def test_a_model_of_any_name_has_pages(as_alice: Client, name: str) -> None:
    version = make_version(name, 1, files=FILES, description=name)
    alias(name, 1, "prod")
    for path in (open_page(as_alice, "/models/").link(name), version.get_absolute_url()):
        read = open_page(as_alice, path)
        assert name in "".join(read.texts("h1"))
        assert not read.all("b")[1:]


def test_registering_offers_the_models_of_the_run(as_alice: Client, run: Run) -> None:
    make_version("churn", 1)
    read = open_page(as_alice, f"/runs/{run.pk}/register/")
    assert [(option["value"], option.text) for option in read.all("option")] == [
        ("m-1", "classifier"),
        ("churn", ""),
    ]
    (form,) = [form for form in read.all("form") if "narrow" in form.attributes.get("class", "")]
    assert form["method"] == "post"
    assert "csrfmiddlewaretoken" in [field["name"] for field in read.all("input")]


def test_only_models_that_may_be_changed_are_offered_by_name(
    as_bob: Client, bob: User, run: Run
) -> None:
    for name in ("churn", "iris"):
        make_version(name, 1)
    grant_mlflow(bob, "experiment", run.experiment_id, "READ")
    grant_mlflow(bob, "registered_model", "churn", "READ")
    grant_mlflow(bob, "registered_model", "iris", "EDIT")
    read = open_page(as_bob, f"/runs/{run.pk}/register/")
    assert [option["value"] for option in read.all("option")] == ["m-1", "iris"]


def test_a_run_without_models_has_nothing_to_register(
    as_alice: Client, make_experiment: Callable[..., Any], make_run: Callable[..., Run]
) -> None:
    bare = make_run(make_experiment())
    read = open_page(as_alice, f"/runs/{bare.pk}/register/")
    assert "This run has logged no model" in read.texts("h2")
    answer = as_alice.post(f"/runs/{bare.pk}/register/", {"model": "m-1", "name": "churn"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "given", [{"model": "m-1"}, {"model": "m-1", "name": " "}, {"model": "m-2", "name": "churn"},
              {"name": "churn"}, {"model": "m-1", "name": "x" * 257}, {"model": "m-1", "name": "a\0b"}]
)  # fmt: skip
def test_a_form_that_cannot_be_right_is_told(
    as_alice: Client, run: Run, given: dict[str, str]
) -> None:
    response = as_alice.post(f"/runs/{run.pk}/register/", given)
    assert response.status_code == 422
    assert page(response).texts("span")
    assert [e for e in page(response).all("span") if e.attributes.get("role") == "alert"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_registering_while_mlflow_is_away_is_told(as_alice: Client, run: Run) -> None:
    """Nobody listens on the reference socket here."""
    response = as_alice.post(f"/runs/{run.pk}/register/", {"model": "m-1", "name": "churn"})
    assert response.status_code == 503
    assert "MLflow&#x27;s server is not answering" in response.content.decode()
    gc.collect()  # httpcore leaves the socket that found nobody to the garbage collector, which warns


def address(name: str, run: Run) -> str:
    arguments: dict[str, list[Any]] = {
        "models": [], "model": ["churn"], "access": ["churn"], "version": ["churn", 1],
    }  # fmt: skip
    return reverse(f"registry:{name}", args=arguments.get(name, [run.pk]))


@pytest.mark.parametrize("name", NAMES)
def test_who_may_see_what(
    client: Client, as_alice: Client, as_bob: Client, run: Run, name: str
) -> None:
    make_version("churn", 1, run_id=run.pk, files=FILES)
    path = address(name, run)
    assert as_alice.get(path).status_code == 200
    refused = as_bob.get(path)
    assert refused.status_code == (200 if name == "models" else 404)
    if name == "models":
        assert "churn" not in refused.content.decode()
    else:
        assert "sklearn" not in refused.content.decode()
    assert client.get(path)["Location"] == f"/login/?next={path}"


def test_each_door_is_shut_by_itself(alice: User, bob: User) -> None:
    version = make_version("churn", 1)
    doors: list[Callable[[User], object]] = [
        lambda user: access.model_for(user, "churn").name,
        lambda user: access.version_for(user, "churn", 1).name,
    ]
    for door in doors:
        assert door(alice) == version.name
        with pytest.raises(NotFound):
            door(bob)
    for rows in (access.models_for, access.versions_for):
        assert rows(alice).exists()
        assert not rows(bob).exists()


def test_a_stranger_registers_nothing(as_bob: Client, run: Run) -> None:
    given = {"model": "m-1", "name": "churn"}
    assert as_bob.post(f"/runs/{run.pk}/register/", given).status_code == 404
