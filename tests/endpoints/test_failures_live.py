"""Deployments that fail in a whole running Studio: what is told, what is kept, and that trying again works.

All fail, and are tried again, side by side: the tests look at what came of it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pandas  # type: ignore[import-untyped]
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature

from tests.support.live import Studio
from tests.support.processes import until
from tests.support.training import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
# One environment for every model that gets so far.
REQUIREMENTS = ["mlflow-skinny==3.17.2", "pandas", "numpy"]
EXAMPLE = pandas.DataFrame({"x": [1.5, 2.5]})
CODE = """
import os
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def load_context(self, context):
        print("what the model prints while it loads")
        {load}

    def predict(self, context, model_input, params=None):
        {predict}

set_model(Model())
"""


@dataclass
class Tried:
    """A deployment after each of its attempts: its state and the whole of its log."""

    name: str
    states: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)


class World:
    """A running Studio, and the deployments of its one endpoint."""

    def __init__(self, live: Studio, token: str, folder: Path) -> None:
        self.live = live
        self.api = live.client(token)
        self.folder = folder
        # Where a model may look that runs under an account of its own.
        self.public = Path(tempfile.mkdtemp(prefix="studio-switch-"))
        self.public.chmod(0o755)
        self.switch = self.public / "switch"
        self.tried: dict[str, Tried] = {}
        # Of what other tests have running in the same Studio.
        self.others = {server.pid for server in self.model_servers()}
        self.environments_before = self.environments()

    def register(self, client: MlflowClient) -> None:
        """A model for each way to fail, and one that fails until a file is there."""
        switch = f"assert os.path.exists({str(self.switch)!r}), 'the switch is off'"
        fine = "return list(model_input['x'] * 2)"
        self.log("loads-not", load="raise ValueError('boom-load')", predict=fine)
        self.log("fits-not", load="pass", predict="raise KeyError('boom-predict')")
        self.log("in-the-end", load=switch, predict=fine)
        self.log("installs-not", load="pass", predict=fine, more=["no-such-package-of-ours==9.9"])
        bare = self.folder / "bare"
        bare.mkdir()
        (bare / "MLmodel").write_text("flavors:\n  spark: {}\nmlflow_version: 3.17.2\n")
        with mlflow.start_run() as run:
            mlflow.log_artifacts(str(bare), "model")
        client.create_registered_model("python-not")
        source = f"runs:/{run.info.run_id}/model"
        client.create_model_version("python-not", source, run.info.run_id)

    def log(self, name: str, *, load: str, predict: str, more: list[str] | None = None) -> None:
        code = self.folder / f"{name}.py"
        code.write_text(CODE.format(load=load, predict=predict))
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            signature=infer_signature(EXAMPLE, [1.0]),
            input_example=EXAMPLE,
            pip_requirements=REQUIREMENTS + (more or []),
            registered_model_name=name,
        )

    def deploy_all(self, *names: str) -> None:
        assert self.api.post("/api/v1/endpoints", json={"name": "failures"}).status_code == 201
        for name in names:
            body = {"name": name, "model_uri": f"models:/{name}/1"}
            made = self.api.post("/api/v1/endpoints/failures/deployments", json=body)
            assert made.status_code == 202, made.text
            self.tried[name] = Tried(name)

    def path(self, name: str) -> str:
        return f"/api/v1/endpoints/failures/deployments/{name}"

    def settle(self) -> None:
        """Wait until each has failed or is live, and note how it is then."""
        for tried in self.tried.values():
            tried.states.append(until(partial(self.settled, tried.name), tried.name, 90))
            tried.logs.append(self.log_of(tried.name))

    def settled(self, name: str) -> dict[str, Any] | None:
        told: dict[str, Any] = self.api.get(self.path(name)).json()
        return told if told["state"] in ("live", "failed") else None

    def log_of(self, name: str, **query: int) -> str:
        read = self.api.get(f"{self.path(name)}/logs", params=query).json()
        return "\n".join(read["items"])

    def retry_all(self) -> None:
        for name in self.tried:
            again = self.api.post(f"{self.path(name)}/retry")
            assert (again.status_code, again.json()["attempt"]) == (202, 2)

    def environments(self) -> set[str]:
        folder = self.live.home / "environments"
        return (
            {path.name for path in folder.iterdir() if path.is_dir()} if folder.exists() else set()
        )

    def model_servers(self) -> list[psutil.Process]:
        """Those that serve a model: by a start of their own, or forked by a template."""
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if any(str(self.live.home) in part for part in command):
                found[process.pid] = process, command
        return [
            process
            for process, command in found.values()
            if "model_server" in command
            or ("model_server.template" in command and process.ppid() in found)
        ]


@pytest.fixture(scope="module")
def world(live: Studio, token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(live, token, tmp_path_factory.mktemp("failures"))
    with client_of(live.url, token) as client, found.api:
        mlflow.set_experiment("failures")
        with warnings.catch_warnings(
            record=True
        ):  # MLflow would have type hints; they change nothing here
            found.register(client)
        found.deploy_all("python-not", "installs-not", "loads-not", "fits-not", "in-the-end")
        found.settle()
        found.switch.touch()
        found.retry_all()
        found.settle()
        yield found
        found.api.delete("/api/v1/endpoints/failures")
    shutil.rmtree(found.public)


FAILURES = [
    ("python-not", "resolving", "has no python_function flavour, only spark", ""),
    ("installs-not", "building", "no-such-package-of-ours", "no-such-package-of-ours"),
    (
        "loads-not",
        "probing",
        "The model did not load: its code raised an error, which the log shows. ValueError: boom-load",
        "ValueError: boom-load",
    ),
    ("fits-not", "trying", "The model fails on its own input example: ", "boom-predict"),
]


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize(("name", "step", "reason", "detail"), FAILURES)
def test_the_step_that_failed_is_told_with_the_reason_and_the_models_own_words(
    world: World, name: str, step: str, reason: str, detail: str, attempt: int
) -> None:
    told = world.tried[name].states[attempt - 1]
    assert (told["state"], told["step"], told["attempt"]) == ("failed", step, attempt)
    assert reason in told["reason"]
    assert detail in told["detail"]
    assert told["traffic"] == 0


@pytest.mark.parametrize("name", ["loads-not", "fits-not"])
def test_the_detail_is_the_models_own_traceback(world: World, name: str) -> None:
    detail = world.tried[name].states[0]["detail"]
    assert "Traceback (most recent call last)" in detail
    assert f"{name}.py" in detail


@pytest.mark.parametrize(("name", "step", "reason", "detail"), FAILURES)
def test_the_log_of_each_attempt_is_kept(
    world: World, name: str, step: str, reason: str, detail: str
) -> None:
    first, second = world.tried[name].logs
    assert world.log_of(name, attempt=1) == first
    assert world.log_of(name, attempt=2) == second
    for number, log in enumerate((first, second), 1):
        assert f"attempt {number} of failures/{name}" in log
        assert "FAILED: " in log
        assert reason in log
        assert detail in log


def test_what_a_model_prints_is_in_its_log(world: World) -> None:
    assert "what the model prints while it loads" in world.tried["loads-not"].logs[0]


def test_one_that_fails_first_gets_live_when_it_is_tried_again(world: World) -> None:
    first, second = world.tried["in-the-end"].states
    assert (first["state"], first["step"]) == ("failed", "probing")
    assert "AssertionError: the switch is off" in first["detail"]
    assert (second["state"], second["attempt"], second["traffic"]) == ("live", 2, 100)
    assert (second["reason"], second["detail"]) == ("", "")


def test_no_process_of_a_failed_attempt_is_left(world: World) -> None:
    def own() -> set[int]:
        return {server.pid for server in world.model_servers()} - world.others

    until(lambda: len(own()) == 1, "one model server is left", 15)
    assert world.settled("in-the-end")


def test_an_environment_is_built_once_for_all_who_ask_the_same(world: World) -> None:
    (built,) = world.environments() - world.environments_before
    told = [log for tried in world.tried.values() for log in tried.logs]
    assert len([log for log in told if f"{built[:8]} is not in the cache, building" in log]) == 1
    assert len([log for log in told if f"{built[:8]} is in the cache" in log]) == 5


class TestScoring:
    """Through the gateway, of the one that is live."""

    def ask(self, world: World, body: str, **headers: str) -> httpx.Response:
        keys = world.api.get("/api/v1/endpoints/failures/keys").json()
        given = {"Authorization": f"Bearer {keys['primary']}", "Content-Type": "application/json"}
        url = f"{world.live.scoring_url}/endpoints/failures/invocations"
        deadline = time.monotonic() + 10
        while True:
            answer = httpx.post(url, content=body, headers=given | headers, timeout=30)
            if answer.status_code != 404 or time.monotonic() > deadline:
                return answer

    def test_it_answers(self, world: World) -> None:
        body = '{"dataframe_split": {"columns": ["x"], "data": [[1.5], [4]]}}'
        answer = self.ask(world, body)
        assert (answer.status_code, answer.json()) == (200, {"predictions": [3.0, 8.0]})

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("not json", "Invalid input. Ensure that input is a valid JSON formatted string"),
            ('{"dataframe_split": {"columns": ["y"], "data": [[1.5]]}}', "Model is missing inputs"),
            (
                '{"dataframe_split": {"columns": ["x"], "data": [["a"]]}}',
                "Failed to convert column x",
            ),
            (
                '{"rows": []}',
                "The input must be a JSON dictionary with exactly one of the input fields",
            ),
        ],
    )
    def test_a_body_that_does_not_fit_is_refused_in_mlflows_words(
        self, world: World, body: str, words: str
    ) -> None:
        answer = self.ask(world, body)
        assert answer.status_code == 400
        told = answer.json()
        assert told["error_code"] in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
        assert words in told["message"]

    @pytest.mark.parametrize("key", ["Bearer wrong", "Bearer", "Basic d3Jvbmc=", ""])
    def test_without_the_right_key_nothing_is_answered(self, world: World, key: str) -> None:
        answer = self.ask(world, '{"instances": [[1]]}', Authorization=key)
        assert answer.status_code == 401
