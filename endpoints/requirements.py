"""What a model's files ask of its environment."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from studio.lib.errors import Unservable

# What the model server needs, and what makes it faster where it can be installed.
SERVER = ("uvicorn>=0.22",)
FASTER = ("httptools", "uvloop", "orjson")
_OF_CONDA_ITSELF = re.compile(r"(python|pip)\s*([<>=!~ ].*)?$")
_MINOR = re.compile(r"3\.\d+")


@dataclass(frozen=True, slots=True)
class Requirements:
    """Lines of a pip requirements file, and the Python minor version ("3.11", or "" when nothing is said)."""

    lines: tuple[str, ...]
    python: str

    def key(self, python: str) -> str:
        """The name of an environment with these, on this machine's platform and with this uv."""
        parts = (
            *sorted(self.lines),
            *SERVER,
            *FASTER,
            python,
            platform.platform(),
            version("uv"),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def read(folder: Path, mlflow_version: str, python_version: str) -> Requirements:
    """Read a model's folder. Raises Unservable for what only conda could install."""
    try:
        conda = _yaml(folder / "conda.yaml")
        of_env = _yaml(folder / "python_env.yaml")
    except (ValueError, yaml.YAMLError) as failure:
        raise Unservable(f"The model's environment files cannot be read: {failure}") from failure
    given = conda.get("dependencies") or []
    foreign = [
        str(item)
        for item in given
        if isinstance(item, str) and not _OF_CONDA_ITSELF.match(item.split("::")[-1])
    ]
    if foreign:
        raise Unservable(
            f"The model asks for {', '.join(foreign)} from conda, which Studio does not install. "
            "Log it again with pip_requirements."
        )
    path = folder / "requirements.txt"
    pip = next(
        (item["pip"] for item in given if isinstance(item, dict) and item.get("pip")),
        [],
    )
    lines = path.read_text().splitlines() if path.is_file() else [str(line) for line in pip]
    kept = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not any(re.match(r"mlflow(-skinny)?\b", line) for line in kept):
        kept.append(f"mlflow=={mlflow_version}" if mlflow_version else "mlflow")
    minor = _MINOR.match(str(of_env.get("python") or python_version))
    return Requirements(tuple(kept), minor[0] if minor else "")


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = yaml.safe_load(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is not a mapping")
    return found
