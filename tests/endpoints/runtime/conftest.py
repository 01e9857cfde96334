"""Model environments, built once by uv, and model servers running in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from endpoints import interpreters
from tests.endpoints.runtime.model_server_kit import (
    FULL,
    NEWEST,
    OLDEST,
    PYTHONS_OF_OLDEST,
    REQUIREMENTS,
    Environment,
    Server,
    build,
    build_as_studio_does,
    end,
    launch,
)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Environment]]]:
    """All environments, being built side by side."""
    folder = tmp_path_factory.mktemp("environments")
    with ThreadPoolExecutor(2) as pool:
        current = Path(sys.executable)
        found = {
            name: pool.submit(build, folder / name, current, REQUIREMENTS[name])
            for name in (NEWEST, FULL)
        }
        oldest = next(filter(None, map(interpreters.find, PYTHONS_OF_OLDEST)), None)
        if oldest:
            found[OLDEST] = pool.submit(build_as_studio_does, folder / OLDEST, oldest)
        yield found


@pytest.fixture(scope="session")
def environment_of(
    builds: dict[str, Future[Environment]],
) -> Callable[[str], Environment]:
    def get(name: str) -> Environment:
        if name not in builds:
            pytest.skip(
                "MLflow 2.0 needs pyarrow before 11, of which there are wheels up to Python 3.11, "
                f"and this machine has none of Python {', '.join(PYTHONS_OF_OLDEST)}"
            )
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
