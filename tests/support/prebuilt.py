"""Real models in a running Studio for which nothing is downloaded: they run on Studio's own packages."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from endpoints import environments, interpreters, requirements
from registry.models import ModelVersion
from tests.support.index import SERVERS_OWN, Index, wheel
from tests.support.rows import make_version

MLFLOW = "mlflow==3.17.2"
_MLMODEL = """
flavors:
  python_function:
    loader_module: a_tiny_model
    code: code
mlflow_version: 3.17.2
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
"""
_CODE = """
import os, signal, time
from pathlib import Path

mood = Path({mood!r}).read_text()
if mood == "dies on import":
    os.kill(os.getpid(), signal.SIGSEGV)

class Model:
    def predict(self, rows):
        if mood == "does not predict":
            raise KeyError("boom-predict")
        if mood == "is slow":
            time.sleep(4.5)
        return [1.0] * len(rows)

def _load_pyfunc(path):
    if mood == "raises":
        raise ValueError("boom-load")
    if mood == "is slow":
        time.sleep(3)
    if mood == "hangs":
        time.sleep(600)
    if mood == "is never ready":
        import model_server.serving
        model_server.serving.serve = lambda *_, **__: time.sleep(600)
    return Model()
"""


def make_model(name: str, *lines: str, mood: Path) -> ModelVersion:
    """A registered version that needs MLflow and `lines`, and does as the file `mood` says when it is loaded."""
    files = {
        "MLmodel": _MLMODEL,
        "requirements.txt": "\n".join((MLFLOW, *lines)),
        "serving_input_example.json": '{"inputs": [1]}',
        "code/a_tiny_model.py": _CODE.format(mood=str(mood)),
    }
    return make_version(name, files=files)


def make_environment() -> None:
    """The environment of a model that needs nothing else, as if it had been built."""
    minor, _ = interpreters.own()
    place = environments.folder(requirements.Requirements((MLFLOW,), minor).key(minor))
    python = place / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # By which the agent sees that a template is worth while.
    (place / "lib" / f"python{minor}" / "site-packages" / "mlflow").mkdir(parents=True)


def offer_own(index: Index) -> None:
    """Have the index offer MLflow and the server as packages that lead to Studio's own."""
    own = sysconfig.get_path("purelib")
    for release in (MLFLOW.replace("==", "-"), *SERVERS_OWN):
        index.files.update([wheel(release, leads_to=own)])
