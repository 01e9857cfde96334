"""What the lane answers of models by itself, what it leaves to MLflow's server, and how it is reached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from registry.lane import LANE, models, versions
from registry.lane.routes import SEEKERS
from registry.models import (
    ModelVersion,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from studio import express
from studio.accounts.models import User
from studio.accounts.permissions import WORKSPACE
from studio.lane import guarded
from studio.lane.asked import Asked, token_for
from studio.lane.asking import Asker, Elsewhere, Stranger
from studio.lane.messages import Body
from studio.mlflow.guards import TABLE
from tests.support.grants import grant_mlflow
from tests.support.rows import make_version
from tests.tracking.lane.reading.test_reading_profile import ask

PROMPT_TAG = "mlflow.prompt.is_prompt"


@pytest.fixture
def churn() -> ModelVersion:
    version = make_version("churn")
    RegisteredModelAlias.objects.create(
        workspace=WORKSPACE, name="churn", alias="champion", version=version.version
    )
    return version


@pytest.fixture
def reader(bob: User, churn: ModelVersion) -> User:
    grant_mlflow(bob, "registered_model", "churn", "READ")
    return bob


def told(answer: Any) -> Any:
    assert answer.status == 200
    return json.loads(answer.body)


def names(answer: Any) -> list[str]:
    return [model["name"] for model in told(answer).get("registered_models", [])]


def query(text: str) -> Asked:
    return Asked("GET", text, Body(b"", None))


def test_every_route_that_is_announced_is_looked_up_guarded_and_has_the_short_way() -> None:
    assert set(SEEKERS) == set(LANE.reading)
    for route in LANE.reading:
        assert TABLE.on("GET", f"/ajax-api/2.0/{route}")[-1].before is guarded.looked_up
        assert ("GET", f"/api/2.0/{route}") in express._routes()


def test_a_model_and_its_version_are_told_whole(reader: User, churn: ModelVersion) -> None:
    model = told(ask(reader, "registered-models/get", name="churn"))["registered_model"]
    assert [version["version"] for version in model["latest_versions"]] == ["1"]
    assert model["aliases"] == [{"alias": "champion", "version": "1"}]
    by_number = told(ask(reader, "model-versions/get", name="churn", version=1))
    by_alias = told(ask(reader, "registered-models/alias", name="churn", alias="champion"))
    latest = told(ask(reader, "registered-models/alias", name="churn", alias="LATEST"))
    assert by_number == by_alias == latest
    assert by_number["model_version"]["aliases"] == ["champion"]


def test_the_latest_versions_come_as_their_stages_were_first_used(
    reader: User, churn: ModelVersion
) -> None:
    """MLflow asks for no order; ours is always the same."""
    for number, stage in enumerate(["Production", "Archived", "None", "Production", "Deleted_Internal"], 2):  # fmt: skip
        make_version("churn", number, current_stage=stage)
    ModelVersion.objects.filter(name="churn", version=1).update(current_stage="None")
    for route, given in (("get", {"name": "churn"}), ("search", {"max_results": "9"})):
        content = told(ask(reader, f"registered-models/{route}", **given))
        model = content["registered_model"] if route == "get" else content["registered_models"][0]
        assert [version["version"] for version in model["latest_versions"]] == ["4", "5", "3"]


@pytest.mark.parametrize(
    ("route", "given"),
    [
        ("registered-models/get", {}),
        ("model-versions/get", {"version": "1"}),
        ("registered-models/alias", {"alias": "champion"}),
    ],
)
def test_what_is_not_there_and_what_may_not_be_seen_is_mlflows_to_say(
    reader: User, alice: User, route: str, given: dict[str, Any]
) -> None:
    carol = User.objects.create_user("carol")
    told(ask(reader, route, name="churn", **given))
    for user, name in ((carol, "churn"), (reader, "none"), (alice, "none")):
        with pytest.raises(Elsewhere):
            ask(user, route, name=name, **given)


@pytest.mark.parametrize(
    "question",
    [
        models.get(query("name=churn")),
        models.search(query("max_results=1")),
        versions.get(query("name=churn&version=1")),
        versions.search(query("max_results=1")),
    ],
    ids=lambda question: type(question).__qualname__,
)
def test_nobody_is_told_anything(churn: ModelVersion, question: models.One | models.Page) -> None:
    with pytest.raises(Stranger):
        question.answer(Asker("no such digest"))


def test_a_page_is_filled_past_models_that_may_not_be_seen(reader: User, alice: User) -> None:
    for name in ("a", "b", "d", "e"):
        make_version(name)
    grant_mlflow(reader, "registered_model", "e", "READ")
    assert names(ask(alice, "registered-models/search", max_results=9)) == ["a", "b", "churn", "d", "e"]  # fmt: skip
    first = told(ask(reader, "registered-models/search", max_results=1))
    assert [model["name"] for model in first["registered_models"]] == ["churn"]
    assert first["next_page_token"] == token_for(3).decode()  # counted among all
    given = {"max_results": 1, "page_token": first["next_page_token"]}
    assert names(ask(reader, "registered-models/search", **given)) == ["e"]


def test_a_prompt_is_seen_by_a_grant_on_prompts_and_when_it_is_asked_for(
    reader: User, alice: User
) -> None:
    RegisteredModel.objects.create(workspace=WORKSPACE, name="greet")
    RegisteredModelTag.objects.create(
        workspace=WORKSPACE, name="greet", key=PROMPT_TAG, value="true"
    )
    asked = {"filter": f"tags.`{PROMPT_TAG}` = 'true'"}
    assert names(ask(alice, "registered-models/search", max_results=9)) == ["churn"]
    assert names(ask(alice, "registered-models/search", **asked)) == ["greet"]
    grant_mlflow(reader, "registered_model", "*", "READ")
    assert names(ask(reader, "registered-models/search", **asked)) == []
    grant_mlflow(reader, "prompt", "greet", "READ")
    assert names(ask(reader, "registered-models/search", **asked)) == ["greet"]
    assert "registered_model" in told(ask(reader, "registered-models/get", name="greet"))


def test_versions_are_withheld_from_whom_they_are_denied(reader: User) -> None:
    grant_mlflow(reader, "registered_model_version", "*", "DENY")
    assert (
        "latest_versions"
        not in told(ask(reader, "registered-models/get", name="churn"))["registered_model"]
    )
    assert told(ask(reader, "model-versions/search", max_results=9)) == {}
    with pytest.raises(Elsewhere):
        ask(reader, "model-versions/get", name="churn", version="1")


def test_runs_are_withheld_from_whom_they_are_denied(reader: User, churn: ModelVersion) -> None:
    ModelVersion.objects.filter(name="churn").update(run_id="a" * 32, run_link="http://run")
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("registered-models/get", {"name": "churn"}),
        ("registered-models/search", {"max_results": 9}),
        ("model-versions/get", {"name": "churn", "version": 1}),
        ("model-versions/search", {"max_results": 9}),
    )
    assert all(b'"run_id"' in ask(reader, route, **given).body for route, given in asked)
    grant_mlflow(reader, "run", "*", "DENY")
    for route, given in asked:
        answer = ask(reader, route, **given)
        assert answer.status == 200
        assert b"run_id" not in answer.body
        assert b"run_link" not in answer.body
    with pytest.raises(Elsewhere):
        ask(reader, "model-versions/search", filter=f"run_id = '{'a' * 32}'")


@pytest.mark.parametrize(
    "text",
    [
        "", "name=", "name=a&name=b", "name=a&other=1", "name=a%00b", "name=a%2Fb", "name=a%3Ab", "name=%20", "name=..",
    ],
)  # fmt: skip
def test_unusual_names_are_answered_elsewhere(text: str) -> None:
    with pytest.raises(Elsewhere):
        models.get(query(text))


@pytest.mark.parametrize("version", ["", "x", "1.0", "1_0", " 1", "9" * 30])
def test_unusual_versions_are_answered_elsewhere(version: str) -> None:
    with pytest.raises(Elsewhere):
        versions.get(query(f"name=a&version={version.replace(' ', '%20')}"))


@pytest.mark.parametrize(
    "text",
    [
        "max_results=0", "max_results=1001", "max_results=x", "filter=x", "filter=name%20%3E%20'a'", "filter=tags.a%20IN%20('x')",
        "order_by=x", "order_by=name&order_by=name%20DESC", "order_by=timestamp&order_by=last_updated_timestamp", "page_token=x",
        "filter=name%20LIKE%20'a%5C'", "more=1", "",
    ],
)  # fmt: skip
def test_unusual_searches_of_models_are_answered_elsewhere(text: str) -> None:
    with pytest.raises(Elsewhere):
        models.search(query(text))


@pytest.mark.parametrize(
    "text",
    [
        "max_results=0", "max_results=200001", "filter=version_number%20%3D%201.5", "filter=version_number%20%3D%202147483648",
        "filter=version_number%20LIKE%20'1'", "filter=source_path%20IN%20('x')", "order_by=run_id", "order_by=name&order_by=name", "",
    ],
)  # fmt: skip
def test_unusual_searches_of_versions_are_answered_elsewhere(text: str) -> None:
    with pytest.raises(Elsewhere):
        versions.search(query(text))


def test_a_session_is_answered_too(churn: ModelVersion, as_alice: Client) -> None:
    answer = as_alice.get("/ajax-api/2.0/mlflow/registered-models/get", {"name": "churn"})
    assert answer.json()["registered_model"]["name"] == "churn"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
