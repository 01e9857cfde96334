"""A stock `mlflow server`, as somebody runs it who has no Studio."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.databases import for_mlflow
from tests.support.processes import free_port, until

ADMINISTRATOR, PASSWORD = "admin", "of-mlflows-own"


@contextmanager
def mlflow_server(url: str, folder: Path, *, passwords: bool) -> Iterator[str]:
    """Run one on this database, with its artifacts below `folder`. Yields its address once it answers."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", for_mlflow(url), "--artifacts-destination", str(folder)),
        *(["--app-name", "basic-auth"] if passwords else []),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.parent / "basic_auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = {for_mlflow(url).replace('%', '%%')}\n"
        f"admin_username = {ADMINISTRATOR}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a server that lives as long as a test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_MODEL_CATALOG_URI": "",
        "DO_NOT_TRACK": "true",
    }
    with (folder.parent / "mlflow.log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | own, cwd=folder.parent, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        try:
            until(lambda: _answers(address, process), "mlflow server answers", 60)
        except AssertionError as late:
            told = (folder.parent / "mlflow.log").read_text()[-4000:]
            raise AssertionError(f"{late}\n{told}") from None
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        return httpx.get(f"{address}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def client(address: str, name: str = "", password: str = "") -> httpx.Client:
    auth = (name, password) if name else None
    return httpx.Client(base_url=address, auth=auth, timeout=60)


def ask(opened: httpx.Client, method: str, route: str, **given: object) -> dict[str, object]:
    """What MLflow's API answers to a body, or of a GET to a query. Fails for anything but 200."""
    sent = {"params": given} if method == "GET" else {"json": given}
    response = opened.request(method, f"/api/2.0/mlflow/{route}", **sent)  # type: ignore[arg-type]
    assert response.status_code == 200, f"{route}: {response.status_code} {response.text}"
    return dict(response.json())


def log_run(opened: httpx.Client, experiment: str, name: str) -> str:
    """A run with a parameter, a metric and an artifact. Returns its id."""
    made = ask(opened, "POST", "runs/create", experiment_id=experiment, run_name=name)
    run = str(made["run"]["info"]["run_id"])  # type: ignore[index]
    ask(opened, "POST", "runs/log-parameter", run_id=run, key="depth", value="3")
    ask(opened, "POST", "runs/log-metric", run_id=run, key="loss", value=0.5, timestamp=1, step=1)
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/note.txt"
    assert opened.put(path, content=name.encode()).status_code == 200
    return run
