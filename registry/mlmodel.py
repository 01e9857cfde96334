"""What an MLmodel file says: flavours, signature and input example. Read safely, trusted in nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studio.lib.errors import Unservable

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


def read(folder: Path) -> MlModel:
    """Read the MLmodel file of a model's folder. Raises Unservable when it is not one."""
    try:
        given = yaml.safe_load(_text(folder / "MLmodel"))
        flavors = given["flavors"]
        pyfunc = flavors.get("python_function", {})
        signature = given.get("signature") or {}
        inputs = _columns(signature.get("inputs"))
        return MlModel(
            flavors=sorted(map(str, flavors)),
            mlflow_version=str(given.get("mlflow_version", "")),
            python_version=str(pyfunc.get("python_version", "")),
            inputs=inputs,
            outputs=_columns(signature.get("outputs")),
            example=_example(folder, given.get("saved_input_example_info")),
            tensor_inputs=any(column.type == "tensor" for column in inputs),
        )
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        yaml.YAMLError,
    ) as failure:
        raise Unservable(f"The MLmodel file cannot be read: {failure}") from failure


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


def _example(folder: Path, info: dict[str, Any] | None) -> dict[str, Any] | None:
    """The saved input example as a scoring body. MLflow from 2.17 saves it as one; before, only the data."""
    if not info:
        return None
    serving = folder / str(info.get("serving_input_path", "serving_input_example.json"))
    if serving.parent == folder and serving.is_file():
        body = json.loads(_text(serving))
        return body if isinstance(body, dict) else None
    path = folder / str(info.get("artifact_path", ""))
    if path.parent != folder or not path.is_file() or path.suffix != ".json":
        return None
    data = json.loads(_text(path))
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


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} is larger than {_LARGEST} bytes")
    return path.read_text()
