"""What Studio reads of a model's files: trusted in nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.mlmodel import Column, MlModel, read, requirements
from studio.lib.errors import Unservable

# As MLflow 3.17 writes it for a scikit-learn model with an input example.
NEW = """\
artifact_path: mlflow-artifacts:/1/models/m-1/artifacts
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    python_version: 3.11.7
  sklearn: {code: null, pickled_model: model.pkl}
mlflow_version: 3.17.2
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "sepal length (cm)", "required": true},
    {"type": "string", "name": "größe", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
"""
OLD = """\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.8.0}
mlflow_version: 1.30.0
saved_input_example_info: {artifact_path: input_example.json, pandas_orient: %s, type: %s}
"""
SPLIT = {"columns": ["x"], "data": [[1.5]]}

MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """A model's folder with an MLmodel file, and more files by name."""

    def make(mlmodel: str | dict[str, Any], **files: str) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        text = mlmodel if isinstance(mlmodel, str) else yaml.safe_dump(mlmodel)
        (folder / "MLmodel").write_text(text)
        for name, content in files.items():
            (folder / f"{name}.json").write_text(content)
        return folder

    return make


def simple(**given: Any) -> dict[str, Any]:
    return {"flavors": {"python_function": {}}, **given}


def columns(*types: str, named: bool = True) -> str:
    told = [{"type": kind} | ({"name": f"c{n}"} if named else {}) for n, kind in enumerate(types)]
    return json.dumps(told)


def test_a_model_of_today_is_read(make_model: MakeModel) -> None:
    serving = json.dumps({"dataframe_split": SPLIT})
    assert read(make_model(NEW, serving_input_example=serving, input_example="{}")) == MlModel(
        flavors=["python_function", "sklearn"],
        mlflow_version="3.17.2",
        python_version="3.11.7",
        inputs=[
            Column("sepal length (cm)", "double", required=True),
            Column("größe", "string", required=False),
        ],
        outputs=[Column("", "tensor", required=True)],
        example={"dataframe_split": SPLIT},
        tensor_inputs=False,
    )


@pytest.mark.parametrize(
    ("orient", "kind", "data", "body"),
    [
        ("split", "dataframe", SPLIT, {"dataframe_split": SPLIT}),
        ("records", "dataframe", [{"x": 1}], {"dataframe_records": [{"x": 1}]}),
        ("null", "ndarray", {"inputs": [[1]]}, {"inputs": [[1]]}),
        ("null", "ndarray", [[1]], {"inputs": [[1]]}),
        ("null", "ndarray", {"a": [1], "b": [2]}, {"inputs": {"a": [1], "b": [2]}}),
        ("null", "something-else", [1], None),
    ],
)
def test_an_example_of_an_older_client_becomes_a_body(
    make_model: MakeModel, orient: str, kind: str, data: Any, body: Any
) -> None:
    model = read(make_model(OLD % (orient, kind), input_example=json.dumps(data)))
    assert model.mlflow_version == "1.30.0"
    assert model.example == model.body == body


@pytest.mark.parametrize("example", ["", "{", "5", "[1]", "[" * 100_000, "\udcff"])
def test_an_example_that_is_none_does_not_hide_the_model(
    make_model: MakeModel, example: str
) -> None:
    folder = make_model(NEW)
    (folder / "serving_input_example.json").write_bytes(example.encode("utf-8", "surrogateescape"))
    model = read(folder)
    assert model.example is None
    assert model.flavors == ["python_function", "sklearn"]


@pytest.mark.parametrize(
    "path",
    ["../secret.json", "/etc/secret.json", "sub/secret.json", "link.json", ".", "", "..", "x.txt"],
)
@pytest.mark.parametrize("key", ["serving_input_path", "artifact_path"])
def test_an_example_lies_in_the_models_own_folder(
    make_model: MakeModel, tmp_path: Path, key: str, path: str
) -> None:
    info = {"type": "dataframe", "pandas_orient": "split", key: path}
    folder = make_model(simple(saved_input_example_info=info))
    (folder / "sub").mkdir()
    for place in (tmp_path, folder / "sub"):
        (place / "secret.json").write_text('{"secret": 1}')
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "x.txt").write_text('{"secret": 1}')
    assert read(folder).example is None


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        (
            columns("double", "long", "string", "boolean", "datetime"),
            {
                "dataframe_split": {
                    "columns": ["c0", "c1", "c2", "c3", "c4"],
                    "data": [[0.0, 0, "", False, "2026-01-01T00:00:00"]],
                }
            },
        ),
        (columns("double", "long", named=False), {"instances": [[0.0, 0]]}),
        (columns("tensor"), None),
        ("[]", None),
    ],
)
def test_a_signature_gives_a_body_of_zeros(
    make_model: MakeModel, signature: str, body: dict[str, Any] | None
) -> None:
    model = read(make_model(simple(signature={"inputs": signature})))
    assert model.example is None
    assert model.body == body


@pytest.mark.parametrize("signature", [None, {}, {"inputs": None}, {"inputs": ""}])
def test_a_model_without_a_signature_is_read(
    make_model: MakeModel, signature: dict[str, Any] | None
) -> None:
    model = read(make_model(simple(signature=signature)))
    assert (model.inputs, model.outputs, model.body) == ([], [], None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "[1, 2]",
        "flavors:",
        "flavors: [1]",
        "flavors: {python_function: text}",
        "no_flavors: {}",
        "flavors: {a: {}}\nsignature: text",
        "flavors: {a: {}}\nsignature: {inputs: '{'}",
        "flavors: {a: {}}\nsignature: {inputs: '5'}",
        "flavors: {a: {}}\nsignature: {inputs: '[5]'}",
        "flavors: {a: {}}\nsignature: {inputs: [1]}",
        "flavors: {a: {}}\nsaved_input_example_info: text",
        "flavors: {a: {}}\nwhen: 2026-99-99",
        "a: b: c",
        "\t- x",
        "a: &x [*x",
        "[" * 50_000,
        "- " * 50_000,
        "flavors: !!python/object/apply:os.system ['touch {mark}']",
        "flavors: !!python/name:os.system ''",
        "flavors: !!python/object/new:subprocess.Popen [['touch', '{mark}']]",
    ],
)
def test_what_is_no_mlmodel_file_is_refused_and_runs_nothing(
    make_model: MakeModel, tmp_path: Path, text: str
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(Unservable, match="The MLmodel file cannot be read"):
        read(make_model(text.replace("{mark}", str(mark))))
    assert not mark.exists()


def test_a_file_that_is_not_text_is_refused(make_model: MakeModel) -> None:
    folder = make_model("")
    (folder / "MLmodel").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unservable):
        read(folder)


def test_a_file_that_is_too_large_is_refused_at_once(make_model: MakeModel) -> None:
    folder = make_model("")
    with (folder / "MLmodel").open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(Unservable, match="larger than"):
        read(folder)


def test_references_that_grow_without_end_are_not_written_out(make_model: MakeModel) -> None:
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(
        ["l0: &l0 [lol]", *layers, "flavors: {python_function: {python_version: *l11}}"]
    )
    folder = make_model(
        f"{text}\nmlflow_version: *l11\nsaved_input_example_info: {{artifact_path: *l11}}"
    )
    began = time.monotonic()
    model = read(folder)
    assert (model.mlflow_version, model.python_version, model.example) == ("", "", None)
    assert time.monotonic() - began < 2


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(Unservable):
        read(tmp_path / "nowhere")


def test_an_mlmodel_file_that_is_a_link_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(NEW)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").symlink_to(tmp_path / "MLmodel")
    with pytest.raises(Unservable):
        read(folder)


def test_requirements_are_told_line_by_line(make_model: MakeModel) -> None:
    folder = make_model(NEW)
    assert requirements(folder) == []
    (folder / "requirements.txt").write_text("mlflow==3.17.2\nscikit-learn\n")
    assert requirements(folder) == ["mlflow==3.17.2", "scikit-learn"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (5 * 1024 * 1024), None])
def test_requirements_that_cannot_be_read_are_none(
    make_model: MakeModel, content: bytes | None
) -> None:
    path = make_model(NEW) / "requirements.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    assert requirements(path.parent) == []
