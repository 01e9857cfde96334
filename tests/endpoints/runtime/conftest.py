"""Model environments, built once by uv, and model servers running in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.endpoints.runtime.model_server_kit import (
    FULL,
    NEWEST,
    OLDEST,
    REQUIREMENTS,
    Environment,
    Server,
    build,
    end,
    launch,
)


@pytest.fixture(scope="session")
def python_3_9() -> Path | None:
    """An interpreter that runs; the first `python3.9` on the path may be a shim."""
    installed = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))
    on_path = shutil.which("python3.9")
    for candidate in [*installed, *([Path(on_path)] if on_path else [])]:
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="session")
def builds(
    tmp_path_factory: pytest.TempPathFactory, python_3_9: Path | None
) -> Iterator[dict[str, Future[Environment]]]:
    """All environments, being built side by side."""
    folder = tmp_path_factory.mktemp("environments")
    with ThreadPoolExecutor(2) as pool:
        current = Path(sys.executable)
        found = {
            name: pool.submit(build, folder / name, current, REQUIREMENTS[name])
            for name in (NEWEST, FULL)
        }
        if python_3_9:
            found[OLDEST] = pool.submit(build, folder / OLDEST, python_3_9, REQUIREMENTS[OLDEST])
        yield found


@pytest.fixture(scope="session")
def environment_of(
    builds: dict[str, Future[Environment]],
) -> Callable[[str], Environment]:
    def get(name: str) -> Environment:
        if name not in builds:
            pytest.skip("there is no Python 3.9 on this machine")
        return builds[name].result()

    return get


@pytest.fixture(scope="session")
def start(
    environment_of: Callable[[str], Environment],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Server]]:
    """Start a model server by its own command, as Studio does."""
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(8))

        def run(*more: str, at: Path | None = None, **variables: str) -> Server:
            python, models = environment_of(NEWEST)
            folder = tmp_path_factory.mktemp("server")
            path = at or folder / "model.sock"
            model: list[str | Path] = ["--model", models / "plain", "--socket", path]
            process = launch(folder, python, "-m", "model_server", *model, *more, **variables)
            stack.callback(end, process)
            return Server(process, path, folder / "out", folder / "err", threads)

        yield run
