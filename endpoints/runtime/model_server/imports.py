"""What a template imports before it forks. Nothing here knows of processes."""

from __future__ import annotations

import importlib
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What every replica needs, whatever its model.
ALWAYS = ("mlflow.pyfunc", "mlflow.pyfunc.scoring_server", "uvicorn", "httptools", "uvloop")
# What loading a model of a flavour imports, where its own name does not say so.
OF_FLAVOR = {
    "sklearn": ("mlflow.sklearn", "sklearn.pipeline", "sklearn.linear_model", "sklearn.ensemble", "skops.io"),
    "python_function": ("cloudpickle",),
}  # fmt: skip
# Frameworks with threads, devices or a virtual machine that a fork would break: each replica imports them itself.
NOT_BEFORE_A_FORK = frozenset({
    "catboost", "fastai", "gluon", "h2o", "jax", "johnsnowlabs", "keras", "langchain", "llama_index", "mleap",
    "mxnet", "onnx", "paddle", "pytorch", "pyspark", "sentence_transformers", "spark", "tensorflow", "tf",
    "torch", "transformers",
})  # fmt: skip

log = logging.getLogger(__name__)


def names_of(flavor: str) -> tuple[str, ...]:
    """The modules that a model of this flavour is loaded with."""
    return OF_FLAVOR.get(flavor, (f"mlflow.{flavor}", flavor))


def import_for(flavors: Iterable[str]) -> None:
    """Import what models of these flavours need. What is not installed or does not import is left to the replica.

    Raises nothing but what ends the interpreter.
    """
    started = time.monotonic()
    names = [*ALWAYS, f"{__package__}.scoring"]
    for flavor in flavors:
        if flavor in NOT_BEFORE_A_FORK:
            log.info("%s must not be forked: each replica imports it by itself", flavor)
        else:
            names += names_of(flavor)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as failure:  # noqa: BLE001 - the replica that needs it says it better
            log.info("not imported: %s (%s)", name, failure)
    log.info("imported in %.1f s", time.monotonic() - started)
