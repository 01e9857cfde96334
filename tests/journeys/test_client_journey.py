"""From an ordinary MLflow client to a scored model, over HTTP alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from tests.support.live import Studio
from tests.support.processes import until
from tests.support.training import Trained, client_of, sweep, train_iris

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other


@pytest.fixture(scope="module")
def client(live: Studio, token: str) -> Iterator[MlflowClient]:
    with client_of(live.url, token) as found:
        yield found


@pytest.fixture(scope="module")
def trained(client: MlflowClient) -> Trained:
    return train_iris("client journey")


def test_nested_runs_params_and_batches_come_back_as_they_were_logged(client: MlflowClient) -> None:
    experiment_id = client.create_experiment("sweeps", tags={"team": "growth"})
    parent, children = sweep(client, experiment_id)
    found = client.search_runs(
        [experiment_id],
        "tags.team = 'growth' AND params.depth != '6'",
        order_by=["params.depth DESC"],
    )
    assert [run.info.run_id for run in found] == [children[1], children[0]]
    run = client.get_run(children[0])
    assert run.data.params == {"depth": "4", "kind": "trée/ø"}
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert math.isnan(run.data.metrics["not a number"])
    assert run.data.metrics["up"] > 1e308
    assert run.data.metrics["down"] < -1e308
    history = client.get_metric_history(children[0], "loss")
    assert [(point.step, point.value) for point in history] == [
        (n, 1 / (n + 1)) for n in range(100)
    ]


def test_artifacts_go_up_and_come_down_with_their_folders(
    client: MlflowClient, tmp_path: Path
) -> None:
    run_id = client.create_run("0").info.run_id
    (tmp_path / "plots" / "a b").mkdir(parents=True)
    (tmp_path / "plots" / "a b" / "größe.txt").write_text("grün")
    (tmp_path / "notes.json").write_text("{}")
    client.log_artifacts(run_id, str(tmp_path), "out")
    assert {item.path for item in client.list_artifacts(run_id, "out")} == {
        "out/plots",
        "out/notes.json",
    }
    down = Path(client.download_artifacts(run_id, "out", str(tmp_path)))
    assert (down / "plots" / "a b" / "größe.txt").read_text() == "grün"


def test_an_autologged_model_is_registered_and_loaded_by_its_alias(
    client: MlflowClient, trained: Trained
) -> None:
    version = mlflow.register_model(f"models:/{trained.model_id}", "journey-iris")
    client.set_registered_model_alias("journey-iris", "champion", version.version)
    loaded = mlflow.pyfunc.load_model("models:/journey-iris@champion")
    rows = mlflow.sklearn.load_model("models:/journey-iris/1").predict(trained.rows)
    assert list(rows) == trained.labels
    assert loaded.metadata.get_input_schema().input_names() == trained.columns


def test_a_registered_model_is_deployed_and_scored_with_key_and_token(
    live: Studio, token: str, client: MlflowClient, trained: Trained
) -> None:
    if not client.search_model_versions("name = 'journey-iris'"):
        mlflow.register_model(f"models:/{trained.model_id}", "journey-iris")
    with live.client(token) as api:
        made = api.post("/api/v1/endpoints", json={"name": "journey"})
        assert made.status_code == 201
        wanted = {"name": "first", "model_uri": "models:/journey-iris/1"}
        queued = api.post("/api/v1/endpoints/journey/deployments", json=wanted)
        assert (queued.status_code, queued.json()["state"]) == (202, "queued")
        settled = until(
            lambda: _settled(api, queued.headers["Location"]), "the deployment settles", 90
        )
        assert settled["state"] == "live", settled
        assert settled["traffic"] == 100
        key = api.get("/api/v1/endpoints/journey/keys").json()["primary"]
        address = api.get("/api/v1/endpoints/journey").json()["scoring_url"]
    body = {"dataframe_split": {"columns": trained.columns, "data": trained.rows}}
    for secret in (key, token):
        answer = httpx.post(address, json=body, headers={"Authorization": f"Bearer {secret}"})
        assert (answer.status_code, answer.json()) == (200, {"predictions": trained.labels})
    refused = httpx.post(address, json=body, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401


def _settled(api: httpx.Client, location: str) -> dict[str, Any] | None:
    found: dict[str, Any] = api.get(location).json()
    return found if found["state"] in ("live", "failed") else None
