"""From a folder to a model that can answer. Nothing here knows of sockets."""

from __future__ import annotations

import gc
import logging
import threading
import time
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .scoring import Scorer

TELL_EVERY = 2.0  # seconds

log = logging.getLogger(__name__)


def load(directory: Path) -> Scorer:
    """
    Return what answers for the model saved in `directory`.

    Raises whatever the model, or MLflow, raises. Leaves no thread of ours behind, so that
    a process may load, and fork, and serve in its children.
    """
    started = time.monotonic()
    log.info(
        "loading %s (%s) with mlflow %s",
        directory,
        _flavors(directory),
        _mlflow_version(),
    )
    with _telling(started):
        # Not at the top: these imports are most of the wait, and may themselves fail.
        import mlflow.pyfunc

        from .scoring import Scorer

        scorer = Scorer(mlflow.pyfunc.load_model(str(directory)))
        # A full collection over MLflow's objects stops everything for 0.1 s. They stay
        # for good, so no later collection needs to look at them; forks share them, too.
        gc.collect()
        gc.freeze()
    log.info("loaded in %.1f s", time.monotonic() - started)
    return scorer


def _flavors(directory: Path) -> str:
    described = yaml.safe_load((directory / "MLmodel").read_text(encoding="utf-8"))
    return ", ".join(sorted(described["flavors"]))


def _mlflow_version() -> str:
    """Return the installed version without the seconds that importing MLflow takes."""
    try:
        return metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return metadata.version("mlflow-skinny")


@contextmanager
def _telling(started: float) -> Iterator[None]:
    """Log a sign of life at intervals."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(TELL_EVERY):
            log.info("still loading, %.0f s", time.monotonic() - started)

    teller = threading.Thread(target=tell, name="still-loading", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
