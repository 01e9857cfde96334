"""Models that need different versions of a package serve side by side, and Studio has imported neither."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import psutil
import pytest

from endpoints import interpreters
from endpoints.agent import accounts, spawning
from tests.support.live import Studio
from tests.support.processes import until
from tests.support.training import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and scikit-learn's, of each other

VERSIONS = ("1.6.1", "1.9.1")
_PREDICTS_ITS_VERSION = """
import mlflow
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        import sklearn
        from sklearn.linear_model import LinearRegression
        slope = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]).coef_[0]
        return [f"{sklearn.__version__}: {slope * x:.0f}" for x in model_input["x"]]

mlflow.models.set_model(Model())
"""


@pytest.fixture(scope="module")
def api(live: Studio, token: str) -> Iterator[httpx.Client]:
    with live.client(token) as client:
        yield client


@pytest.fixture(scope="module")
def deployed(
    live: Studio, token: str, api: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """An endpoint for each version of scikit-learn, both brought live at the same time."""
    code = tmp_path_factory.mktemp("model") / "model.py"
    code.write_text(_PREDICTS_ITS_VERSION)
    made = {}
    with client_of(live.url, token):
        mlflow.set_experiment("isolation")
        for version in VERSIONS:
            name = f"needs-{version.replace('.', '-')}"
            requirements = [f"mlflow=={mlflow.__version__}", f"scikit-learn=={version}"]
            with mlflow.start_run():
                mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(code),
                    pip_requirements=requirements,
                    registered_model_name=name,
                )
            api.post("/api/v1/endpoints", json={"name": name}).raise_for_status()
            wanted = {"name": "only", "model_uri": f"models:/{name}/1"}
            queued = api.post(f"/api/v1/endpoints/{name}/deployments", json=wanted)
            queued.raise_for_status()
            made[version] = (name, queued.headers["Location"])
    return {version: settled(api, *where) for version, where in made.items()}


def settled(api: httpx.Client, name: str, location: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(location).json()
        return found if found["state"] in ("live", "failed") else None

    return until(look, f"{name} settles", 90) | {"endpoint": name}


def servers_of(live: Studio) -> list[psutil.Process]:
    """The processes that run in an environment of this Studio: templates, replicas and their forks."""
    place = f"{live.home / 'environments'}/"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(place in word for word in process.info["cmdline"] or ())
    ]


def has_loaded(pid: int, package: str) -> bool:
    return f"/site-packages/{package}/" in Path(f"/proc/{pid}/maps").read_text()


def test_each_answers_with_the_version_that_it_asked_for(
    api: httpx.Client, deployed: dict[str, dict[str, Any]]
) -> None:
    for version, found in deployed.items():
        assert found["state"] == "live", found
        endpoint = api.get(f"/api/v1/endpoints/{found['endpoint']}").json()
        key = api.get(f"/api/v1/endpoints/{found['endpoint']}/keys").json()["primary"]
        answer = httpx.post(
            endpoint["scoring_url"],
            json={"dataframe_split": {"columns": ["x"], "data": [[1.0], [4.0]]}},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.json() == {"predictions": [f"{version}: 2", f"{version}: 8"]}


def test_studios_own_processes_have_imported_neither(
    live: Studio, deployed: dict[str, dict[str, Any]]
) -> None:
    assert any(has_loaded(process.pid, "sklearn") for process in servers_of(live))
    told = json.loads(live.manage("status", "--json"))["processes"]
    looked_at = set()
    for process in told:
        if process["name"] in ("web", "worker", "gateway", "agent", "beat"):
            outside = {server.pid for server in servers_of(live)}
            family = [psutil.Process(process["pid"])]
            family += family[0].children(recursive=True)
            for one in family:
                if one.pid not in outside and one.is_running():
                    assert not has_loaded(one.pid, "sklearn"), one.cmdline()
            looked_at.add(process["name"])
    assert looked_at == {"web", "worker", "gateway", "agent", "beat"}


def test_as_root_each_runs_under_an_account_of_its_own(
    live: Studio, deployed: dict[str, dict[str, Any]]
) -> None:
    open_python = interpreters.find(interpreters.own()[0])
    if os.geteuid() != 0 or open_python is None or not interpreters.open_to_others(open_python):
        pytest.skip("only root can give accounts, and they need a Python that others can run")
    servers = servers_of(live)
    users = {process.uids().real for process in servers}
    assert len(users) >= len(VERSIONS)
    # Replicas that are forked have the account of their template.
    assert any("model_server.template" in process.cmdline() for process in servers)
    assert all(accounts.FIRST <= user <= accounts.LAST for user in users)
    assert httpx.get(f"{live.url}/healthz").json()["warnings"] == []


def test_loading_a_model_again_compiles_nothing(
    live: Studio, deployed: dict[str, dict[str, Any]]
) -> None:
    """Where a model server could write bytecode: as Studio's user, whom the environment belongs to."""
    name = next(iter(deployed.values()))["endpoint"]
    asked = (
        f"from endpoints.models import Deployment as D; d = D.objects.get(endpoint__name={name!r})"
    )
    told = live.manage("shell", "--verbosity=0", "-c", f"{asked}; print(d.pk, d.environment)")
    pk, key = told.split()[-2:]
    model, place = live.home / "models" / pk, live.home / "environments" / key
    before = {path: path.stat().st_mtime for path in place.rglob("*.pyc")}
    assert len(before) > 1000
    code = f"import mlflow.pyfunc; mlflow.pyfunc.load_model({str(model)!r})"
    command = [str(place / "bin" / "python"), "-c", code]
    subprocess.run(command, env=spawning.environment(), check=True, capture_output=True)
    assert {path: path.stat().st_mtime for path in place.rglob("*.pyc")} == before
