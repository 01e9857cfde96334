"""`mlflow server` and FastTrackML, each in an environment of its own, on a database of its own in Studio's PostgreSQL.

Neither asks who calls. Environments are made once and kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from studio.lib.database import django_database, embedded_url, sqlalchemy_url
from tests.bench.sides import FASTTRACKML, MLFLOW, Side
from tests.support.live import ROOT
from tests.support.processes import free_port, until

_LOCK = ROOT / "requirements" / "server.txt"
# MLflow and what it needs in the versions that Studio itself runs. FastTrackML is one program of its own.
_OF_MLFLOW = ["-c", str(_LOCK), "mlflow", "psycopg[binary]"]
_OF_FASTTRACKML = ["--no-deps", "FastTrackML==0.6.0"]
_READY = 180.0  # seconds


@contextmanager
def mlflow_server(database: str, folder: Path) -> Iterator[Side]:
    """With two workers, as many as Studio has. `database` is the address of any one on the server."""
    own, port = _database(database, "bench_mlflow"), free_port()
    command: list[str | Path] = [
        *(_environment(_OF_MLFLOW) / "bin" / "mlflow", "server", "--workers", "2"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *(
            "--backend-store-uri",
            sqlalchemy_url(django_database(own)),
            "--artifacts-destination",
            folder / "mlflow",
        ),
    ]
    with _served(command, port, folder / "mlflow.log"):
        yield _side(MLFLOW, port, own)


@contextmanager
def fasttrackml(database: str, folder: Path) -> Iterator[Side]:
    own, port = _database(database, "bench_fasttrackml"), free_port()
    command: list[str | Path] = [
        *(_environment(_OF_FASTTRACKML) / "bin" / "fml", "server", "--log-level", "warn"),
        *("--listen-address", f"127.0.0.1:{port}", "--database-uri", own),
        *("--default-artifact-root", folder / "fasttrackml"),
    ]
    with _served(command, port, folder / "fasttrackml.log"):
        yield _side(FASTTRACKML, port, own)


def _environment(wanted: list[str]) -> Path:
    """A virtual environment that holds this, made now or earlier."""
    told = "\n".join([sys.version, _LOCK.read_text() if str(_LOCK) in wanted else "", *wanted])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(told.encode()).hexdigest()[:16]
    folder = cache / "mlflow-studio" / "bench" / name
    whole = folder / "whole"
    if not whole.exists():
        uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin" / "python")
        make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        for command in (make, [*install, *wanted]):
            subprocess.run(command, env=_clean(), check=True)
        whole.touch()
    return folder


def _database(beside: str, name: str) -> str:
    """The address of a new, empty database on the same server."""
    with psycopg.connect(beside, autocommit=True) as connection:
        for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    told = {key: str(value) for key, value in conninfo_to_dict(beside).items()}
    return embedded_url(Path(told["host"]), told["user"], told["password"], name)


@contextmanager
def _served(command: list[str | Path], port: int, log: Path) -> Iterator[None]:
    own = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    with (
        log.open("wb") as told,
        subprocess.Popen(
            command,
            cwd=log.parent,
            env=_clean() | own,
            stdout=told,
            stderr=told,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait(process, port, log)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    try:
        until(lambda: _answers(port, process), "the peer answers", _READY)
    except AssertionError as late:
        raise AssertionError(f"{late}\n{log.read_text()[-4000:]}") from None


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _side(name: str, port: int, database: str) -> Side:
    side = Side(name, ("127.0.0.1", port), database, "")
    made = side.ask("experiments/create", name="bench")
    return Side(name, side.address, database, str(made["experiment_id"]))


def _clean() -> dict[str, str]:
    """The environment, but for what would make a Python slower or mix in Studio's own packages."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}
