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
# What MLflow before 2.21 imports to score and does not always bring: setuptools for pkg_resources.
OLD_MLFLOW = ("flask", "setuptools<81")
FASTER = ("httptools", "uvloop", "orjson")
_OF_CONDA_ITSELF = re.compile(r"(python|pip)\s*([<>=!~ ].*)?$")
_CONSTRAINTS = re.compile(r"(-c|--constraint)[ =]+constraints\.txt")
_MLFLOW = re.compile(r"mlflow([-_.]skinny)?(?![\w.-])", re.IGNORECASE)
_OLD_MLFLOW = re.compile(r"mlflow([-_.]skinny)?\s*==\s*2\.(1?\d|20)(?!\d)", re.IGNORECASE)
_MINOR = re.compile(r"3\.\d+")


@dataclass(frozen=True, slots=True)
class Requirements:
    """Lines of a pip requirements file, and the Python minor version ("3.11", or "" when nothing is said)."""

    lines: tuple[str, ...]
    python: str
    constraints: tuple[str, ...] = ()

    def key(self, python: str) -> str:
        """The name of an environment with these, on this machine's platform and with this uv."""
        parts = (
            *sorted(self.lines),
            "-c",
            *sorted(self.constraints),
            "-r",
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
        given = conda.get("dependencies") or []
        _refuse_conda(given)
        listed = _lines(folder / "requirements.txt") or _pip_section(given)
        lines = [line for line in listed if not _CONSTRAINTS.fullmatch(line)]
        # MLflow keeps the constraints that a model was logged with in this one file.
        bounds = _lines(folder / "constraints.txt") if len(lines) < len(listed) else []
    except (ValueError, yaml.YAMLError) as failure:
        raise Unservable(f"The model's environment files cannot be read: {failure}") from failure
    if not any(_MLFLOW.match(line) for line in lines):
        lines.append(f"mlflow=={mlflow_version}" if mlflow_version else "mlflow")
    if any(_OLD_MLFLOW.match(line) for line in lines):
        lines += OLD_MLFLOW
    minor = _MINOR.match(str(of_env.get("python") or python_version))
    return Requirements(tuple(lines), minor[0] if minor else "", tuple(bounds))


def _refuse_conda(dependencies: list[object]) -> None:
    foreign = [
        str(item)
        for item in dependencies
        if isinstance(item, str) and not _OF_CONDA_ITSELF.match(item.split("::")[-1])
    ]
    if foreign:
        raise Unservable(
            f"The model asks for {', '.join(foreign)} from conda, which Studio does not install. "
            "Log it again with pip_requirements."
        )


def _pip_section(dependencies: list[object]) -> list[str]:
    sections = (item["pip"] for item in dependencies if isinstance(item, dict) and item.get("pip"))
    return [str(line).strip() for line in next(sections, [])]


def _lines(path: Path) -> list[str]:
    """What a requirements file asks for, without comments. A file that is not there asks for nothing."""
    text = path.read_text() if path.is_file() else ""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = yaml.safe_load(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is not a mapping")
    return found
