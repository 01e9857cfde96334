"""A web host without the models: what lies on their host it says, or reads where that came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from endpoints import attempt_logs, examples, logs
from endpoints.models import Deployment
from studio.accounts.models import User
from tests.support.serving import WITH_EXAMPLE, deploy, last_attempt, servable, settle

ROWS = {"inputs": [{"x": 1}, {"x": 2}]}


@pytest.fixture
def deployment(alice: User, settings: Settings, tmp_path: Path) -> Deployment:
    """One that the models' host has fetched and built; this host has another STUDIO_HOME."""
    version = servable(WITH_EXAMPLE, **{"serving_input_example.json": json.dumps(ROWS)})
    found = settle(deploy(alice, version))
    settings.HOME = type(settings.HOME)(tmp_path / "web")
    settings.GATEWAY_URL = "http://models-1:8001"
    return found


def test_the_example_of_a_model_is_read_from_the_artifact_store(deployment: Deployment) -> None:
    assert json.loads(examples.body_for(deployment)) == ROWS


def test_without_the_model_s_files_the_tab_begins_with_the_shape(
    deployment: Deployment, settings: Settings, tmp_path: Path
) -> None:
    settings.ARTIFACTS = tmp_path / "not mounted"
    assert "dataframe_split" in json.loads(examples.body_for(deployment))
    deployment.storage = ""  # not resolved yet
    assert "dataframe_split" in json.loads(examples.body_for(deployment))


def test_a_log_that_is_not_here_is_said_to_be_elsewhere(
    deployment: Deployment, as_alice: Client
) -> None:
    news = attempt_logs.latest(last_attempt(deployment))
    [told] = news.lines
    assert "on the host that runs the models" in told
    assert news.places == {}
    shown = as_alice.get(f"/endpoints/{deployment.endpoint.name}/", {"tab": "logs"})
    assert told in shown.content.decode()


def test_a_log_folder_that_is_mounted_here_is_read(deployment: Deployment) -> None:
    logs.write(logs.of_attempt(last_attempt(deployment)), "resolving")
    [told] = attempt_logs.latest(last_attempt(deployment)).lines
    assert told.endswith("resolving")
