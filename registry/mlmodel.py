"""What an MLmodel file says: flavours, signature and input example. Read safely, trusted in nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studio.lib.artifacts import Folder, LocalFolder
from studio.lib.errors import NotFound, Unservable

_LARGEST = 4 * 1024 * 1024  # bytes of an MLmodel or an example that is read
_ZEROS = {
    "boolean": False,
    "string": "",
    "binary": "",
    "datetime": "2026-01-01T00:00:00",
    "double": 0.0,
    "float": 0.0,
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class MlModel:
    flavors: list[str]
    mlflow_version: str
    python_version: str
    inputs: list[Column]
    outputs: list[Column]
    example: dict[str, Any] | None  # a body for /invocations, from the model's own input example
    tensor_inputs: bool = field(default=False)

    @property
    def body(self) -> dict[str, Any] | None:
        """A body to try the model with: its example, or zeros that fit its signature. None: nothing is known."""
        if self.example is not None:
            return self.example
        if not self.inputs or self.tensor_inputs:
            return None
        columns = [column.name for column in self.inputs]
        if not all(columns):
            return {"instances": [[_ZEROS.get(column.type, 0) for column in self.inputs]]}
        row = [_ZEROS.get(column.type, 0) for column in self.inputs]
        return {"dataframe_split": {"columns": columns, "data": [row]}}


def read(place: Folder | Path) -> MlModel:
    """Read the MLmodel file of a model's folder. Raises Unservable when it is not one."""
    folder = _folder(place)
    try:
        given = yaml.safe_load(_text(folder, "MLmodel"))
        flavors = given["flavors"]
        pyfunc = flavors.get("python_function", {})
        signature = given.get("signature") or {}
        inputs = _columns(signature.get("inputs"))
        return MlModel(
            flavors=sorted(map(str, flavors)),
            mlflow_version=_word(given.get("mlflow_version")),
            python_version=_word(pyfunc.get("python_version")),
            inputs=inputs,
            outputs=_columns(signature.get("outputs")),
            example=_example(folder, given.get("saved_input_example_info")),
            tensor_inputs=any(column.type == "tensor" for column in inputs),
        )
    except (
        OSError,
        NotFound,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        yaml.YAMLError,
    ) as failure:
        raise Unservable(f"The MLmodel file cannot be read: {failure}") from failure


def requirements(place: Folder | Path) -> list[str]:
    """The lines of a model's requirements.txt. Empty: there is none that can be read."""
    try:
        return _text(_folder(place), "requirements.txt").splitlines()
    except (OSError, NotFound, ValueError):
        return []


def _columns(signature: str | None) -> list[Column]:
    if not signature:
        return []
    return [
        Column(
            str(item.get("name", "")),
            str(item.get("type", "")),
            bool(item.get("required", True)),
        )
        for item in json.loads(signature)
    ]


def _example(folder: Folder, info: dict[str, Any] | None) -> dict[str, Any] | None:
    """The saved input example as a scoring body. MLflow from 2.17 saves it as one; before, only the data."""
    if not info:
        return None
    serving = _word(info.get("serving_input_path")) or "serving_input_example.json"
    body = _json(folder, serving)
    if isinstance(body, dict):
        return body
    data = _json(folder, _word(info.get("artifact_path")))
    if data is None:
        return None
    match info.get("type"):
        case "dataframe":
            return (
                {"dataframe_split": data}
                if info.get("pandas_orient", "split") == "split"
                else {"dataframe_records": data}
            )
        case "ndarray":
            return {"inputs": data.get("inputs", data) if isinstance(data, dict) else data}
    return None


def _json(folder: Folder, name: str) -> Any:
    """A JSON file that lies in the folder itself. None: it is not there, or it is no JSON."""
    if "/" in name or not name.endswith(".json"):
        return None
    try:
        return json.loads(_text(folder, name))
    except (OSError, NotFound, ValueError, RecursionError):
        return None


def _folder(place: Folder | Path) -> Folder:
    return LocalFolder(place) if isinstance(place, Path) else place


def _text(folder: Folder, name: str) -> str:
    content = folder.head(name, _LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST} bytes")
    return content.decode()


def _word(value: Any) -> str:
    """A plain value as text. What YAML's references have woven together could be endless when written out."""
    return str(value) if isinstance(value, str | int | float) else ""
