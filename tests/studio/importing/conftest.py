"""Stores that MLflow has filled, once for all tests, and an empty Studio for each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from mlflow import MlflowClient

from studio.lib.database import sqlalchemy_url
from tests.studio.importing import stores
from tests.support.processes import free_port, until


@dataclass
class Done:
    """What an import said, and its exit code."""

    code: int
    words: str
    lines: list[dict[str, Any]]

    def reasons(self, kind: str) -> dict[str, str]:
        return {
            line["name"]: line["reason"]
            for line in self.lines
            if line["what"] == "left out" and line["kind"] == kind
        }


Import = Callable[..., Done]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a file store (mlruns) and, in sq, an SQLite file with the runs' files beside it."""
    folder = tmp_path_factory.mktemp("stores")
    before = Path.cwd()
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        for place, store in ((folder, "mlruns"), (folder / "sq", "mlflow.db")):
            place.mkdir(exist_ok=True)
            os.chdir(place)
            uri = f"sqlite:///{place / store}" if store.endswith(".db") else str(place / store)
            with stores.used(uri) as client:
                stores.fill(client, folder)
    finally:
        os.chdir(before)
    yield folder
    del os.environ["MLFLOW_ALLOW_FILE_STORE"]


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    """A file store to break: a copy in another place than the one that its addresses name."""
    shutil.copytree(filled / "mlruns", tmp_path / "mlruns")
    return tmp_path / "mlruns"


@pytest.fixture
def empty(transactional_db: None) -> Iterator[None]:
    """A Studio without anything of MLflow's."""
    empty_studio()
    yield
    empty_studio()


def empty_studio() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments, registered_models, inputs, input_tags CASCADE")
        cursor.execute("ALTER SEQUENCE experiments_experiment_id_seq RESTART")
    shutil.rmtree(settings.ARTIFACTS, ignore_errors=True)


@pytest.fixture
def importing(empty: None, tmp_path: Path) -> Import:
    def run(source: Path | str, *options: str) -> Done:
        said, report = StringIO(), tmp_path / "report.jsonl"
        try:
            call_command("import", str(source), f"--report={report}", *options, stdout=said)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except CommandError as failure:
            return Done(failure.returncode, str(failure), [])
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        return Done(code, said.getvalue(), lines)

    return run


@pytest.fixture
def here(importing: Import) -> Callable[[], dict[str, Any]]:
    """All that this Studio holds, as MLflow tells it."""

    def look() -> dict[str, Any]:
        url = sqlalchemy_url(connection.settings_dict)
        client = MlflowClient(url, url)
        try:
            return stores.told(client)
        finally:  # or the test database could not be dropped
            client._tracking_client.store.engine.dispose()
            client._get_registry_client().store.engine.dispose()

    return look


@dataclass
class Served:
    """MLflow's server with its own permission rules, which asks for a name and a password."""

    url: str
    username: str = "admin"
    password: str = "a long password 1"


@pytest.fixture(scope="session")
def served(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    found = Served(f"http://127.0.0.1:{free_port()}")
    settings_of_users = folder / "auth.ini"
    settings_of_users.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {found.username}\nadmin_password = {found.password}\n"
        "auth_cache_ttl_seconds = 600\n"  # hashing a password for each call takes seconds in all
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings_of_users),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth", "--workers=1"]
    command += [f"--backend-store-uri=sqlite:///{filled}/sq/mlflow.db"]
    command += ["--host=127.0.0.1", f"--port={found.url.rpartition(':')[2]}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | own,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until(lambda: _answers(found.url), "MLflow's server", 120)
            yield found
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
