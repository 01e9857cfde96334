"""What the tests of the model server are made of: environments, servers, requests."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

import uv

from endpoints import environments
from endpoints import requirements as requirements_of

INSIDE = Path(__file__).parent / "inside"
RUNTIME = Path(__file__).parents[3] / "endpoints" / "runtime"
UV = uv.find_uv_bin()  # here, since it may not be called from several threads at once
PATIENCE = 60.0  # seconds; nothing takes that long, but the machine may be shared

NEWEST, FULL, OLDEST = "mlflow-skinny 3.17", "mlflow 2.22", "mlflow 2.0"
REQUIREMENTS = {
    NEWEST: ["mlflow-skinny==3.17.2", "pandas", "scikit-learn", "uvicorn"],
    # Its own server, not ours, calls what Starlette 1 has no more.
    FULL: ["mlflow==2.22.*", "starlette<1", "uvicorn", "httptools", "uvloop"],
}
# As a model's own file has it.
REQUIREMENTS_OF_OLDEST = "mlflow==2.0.1\nscikit-learn\n"
# The lowest that is there is taken. Later ones cannot install MLflow 2.0.
PYTHONS_OF_OLDEST = ("3.9", "3.10", "3.11")


class Environment(NamedTuple):
    """An installed environment, and what MLflow itself saved and answered in it."""

    python: Path
    models: Path


class Reply(NamedTuple):
    status: int
    content_type: str | None
    body: bytes


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("model", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path: Path, target: str, body: bytes, content_type: str | None, method: str) -> Reply:
    """Send one request to the socket `path`."""
    connection = UnixConnection(path)
    headers = {} if content_type is None else {"Content-Type": content_type}
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers["Content-Type"], answer.read())
    finally:
        connection.close()


def connectable(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(str(path)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Pipe:
    """Something for a model to wait for: it reads, and goes on when we let go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = -1
        os.mkfifo(path)

    def wait_for_reader(self) -> None:
        def opened() -> bool:
            try:
                self._end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                return False
            return True

        wait_until(opened)

    def let_go(self) -> None:
        os.close(self._end)


@dataclass
class Server:
    """A model server in a process of its own."""

    process: subprocess.Popen[bytes]
    socket: Path
    out: Path
    err: Path
    threads: ThreadPoolExecutor

    def get(self, target: str, method: str = "GET") -> Reply:
        return ask(self.socket, target, b"", None, method)

    def score(self, body: str, content_type: str = "application/json") -> Reply:
        return ask(self.socket, "/invocations", body.encode(), content_type, "POST")

    def score_aside(self, body: str) -> Future[Reply]:
        """Score in a thread, for a prediction that waits for the test."""
        return self.threads.submit(self.score, body)

    def wait_ready(self) -> Server:
        wait_until(lambda: connectable(self.socket) or self.process.poll() is not None)
        assert self.process.poll() is None, self.err.read_text()
        return self

    def logged(self, line: str) -> bool:
        """Whether the log holds this line, of the server at whatever time or of the model."""
        return any(line in (told, told[9:]) for told in self.out.read_text().splitlines())


def launch(folder: Path, *command: str | Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start `command`, with its output in the files out and err of `folder`."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        return subprocess.Popen(
            command, cwd=folder, env=_variables(**variables), stdout=out, stderr=err
        )


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def build(folder: Path, interpreter: Path, requirements: list[str]) -> Environment:
    """Install an environment; let MLflow save models and answer all cases in it."""
    return _with_models(folder, _install(folder, interpreter, requirements))


def build_as_studio_does(folder: Path, interpreter: Path) -> Environment:
    """The same from a model's own files, by the code that builds the environments of deployments."""
    folder.mkdir()
    (folder / "requirements.txt").write_text(REQUIREMENTS_OF_OLDEST)
    wanted = requirements_of.read(folder, "2.0.1", "")
    key = wanted.key(interpreter.name)
    log: list[str] = []
    place = environments.build(wanted, interpreter, key, folder, log.append, Event())
    return _with_models(folder, place / "bin" / "python")


def _with_models(folder: Path, python: Path) -> Environment:
    models = folder / "models"
    models.mkdir()
    _run([python, INSIDE / "mlflow_itself.py", models], cwd=folder)
    return Environment(python, models)


def _install(folder: Path, interpreter: Path, requirements: list[str]) -> Path:
    quiet = ["--quiet", "--no-python-downloads"]
    _run([UV, "venv", *quiet, "--python", interpreter, folder])
    python = folder / "bin" / "python"
    _run([UV, "pip", "install", *quiet, "--python", python, *requirements])
    return python


def _run(command: Sequence[str | Path], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=_variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _variables(**more: str) -> dict[str, str]:
    """Return an environment in which Python keeps its bytecode and MLflow stays home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "MLFLOW_", "DJANGO_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(RUNTIME),
        "PYTHONHASHSEED": "0",  # MLflow writes sets into its messages
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        **more,
    }
