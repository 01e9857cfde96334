"""Loaded by pytest before Django's settings: gives the tests a Studio home of their own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Read once, at import: pytest-django loads the settings before any conftest.py runs.
for _name in [name for name in os.environ if name.startswith(("STUDIO_", "MLFLOW_"))]:
    del os.environ[_name]
_home = Path(tempfile.mkdtemp(prefix="studio-test-"))
os.environ["STUDIO_HOME"] = str(_home)
os.environ.pop("DATABASE_URL", None)
os.environ.pop("REDIS_URL", None)
# Environments of models are built from what earlier builds on this machine have downloaded.
os.environ.setdefault("UV_CACHE_DIR", str(Path("~/.cache/uv").expanduser()))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
