"""
Runs inside a model's environment: saves the models, and answers the cases as MLflow does.

`python mlflow_itself.py FOLDER` writes FOLDER/<model> and FOLDER/answers.json.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy
import pandas as pd
from cases import CASES, IRIS, Case
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, DataType, Schema
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

REQUIREMENTS = ["mlflow"]  # given, since finding them out takes MLflow seconds


class Plain(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
    """Does what its input tells it to, or says its input back."""

    def load_context(self, context: Any) -> None:
        if "MODEL_FAILS" in os.environ:
            raise LookupError("the model's own failure to load")
        if "MODEL_WAITS_FOR" in os.environ:
            Path(os.environ["MODEL_WAITS_FOR"]).read_text()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if not (isinstance(model_input, pd.DataFrame) and "do" in model_input):
            return model_input
        order = dict(model_input.iloc[0])
        if order["do"] == "unknown to JSON":
            return object()
        if order["do"] == "draw":
            return [numpy.random.random()]
        self._obey(**order)
        return model_input

    def _obey(self, do: str, path: str = "") -> None:
        if do == "raise":
            raise ValueError("the model's own failure")
        if do == "refuse":
            raise MlflowException("the model's own refusal")
        if do == "exit":
            sys.exit("the model's own exit")
        if do == "wait":  # until somebody has opened the pipe, and closed it again
            Path(path).read_text()
        if do == "touch":
            Path(path).touch()


class Typed(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
    """Says back which types and values it was given."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        columns = [
            [name, str(model_input[name].dtype), repr(list(model_input[name]))]
            for name in model_input
        ]
        return [*columns, repr(params)]


def _save_all(folder: Path) -> None:
    data, target = load_iris(return_X_y=True)
    frame = pd.DataFrame(data, columns=IRIS)
    iris = LogisticRegression(max_iter=300).fit(frame, target)
    mlflow.sklearn.save_model(
        iris,
        str(folder / "iris"),
        signature=infer_signature(frame, iris.predict(frame)),
        pip_requirements=REQUIREMENTS,
        serialization_format="cloudpickle",
    )
    for name, model, signature in (
        ("plain", Plain(), None),
        ("typed", Typed(), _signature()),
    ):
        mlflow.pyfunc.save_model(
            str(folder / name),
            python_model=model,
            signature=signature,
            pip_requirements=REQUIREMENTS,
        )


def _signature() -> ModelSignature:
    types = {
        "d": DataType.double,
        "l": DataType.long,
        "i": DataType.integer,
        "s": DataType.string,
        "b": DataType.boolean,
        "t": DataType.datetime,
    }
    inputs = Schema([ColSpec(kind, name) for name, kind in types.items()])
    if "params" not in inspect.signature(ModelSignature).parameters:  # before 2.6
        return ModelSignature(inputs=inputs)
    from mlflow.types import ParamSchema, ParamSpec

    share = ParamSpec("share", DataType.double, 0.5)
    return ModelSignature(inputs=inputs, params=ParamSchema([share]))


def _answer(app: Any, case: Case) -> dict[str, Any]:
    """Return MLflow's answer, or the name of the exception it let escape."""
    call = _call_flask if hasattr(app, "test_client") else _call_asgi
    try:
        status, content_type, body = call(app, case)
    except Exception as escaped:  # noqa: BLE001 - which ones there are is the question
        return {"escaped": type(escaped).__name__}
    return {"status": status, "content_type": content_type, "body": body.decode()}


def _call_flask(app: Any, case: Case) -> tuple[int, str, bytes]:
    from werkzeug.test import Client

    app.testing = True  # exceptions come out instead of turning into a page
    answer = Client(app).open(
        case.path,
        method=case.method,
        data=case.body,
        content_type=case.content_type,
    )
    return answer.status_code, answer.headers["Content-Type"], answer.get_data()


def _call_asgi(app: Any, case: Case) -> tuple[int, str, bytes]:
    headers = [(b"content-length", b"%d" % len(case.body))]
    if case.content_type is not None:
        headers.append((b"content-type", case.content_type.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": case.method,
        "path": case.path,
        "query_string": b"",
        "headers": headers,
    }
    sent: list[Any] = []
    incoming = [{"type": "http.request", "body": case.body, "more_body": False}]

    async def receive() -> Any:
        if not incoming:
            await asyncio.Event().wait()  # the client stays
        return incoming.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    answered = dict(sent[0]["headers"])[b"content-type"].decode()
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], answered, body


def main(folder: Path) -> None:
    _save_all(folder)
    apps = {
        name: scoring_server.init(mlflow.pyfunc.load_model(str(folder / name)))
        for name in ("iris", "plain", "typed")
    }
    answers = [
        {
            **case._asdict(),
            "body": base64.b64encode(case.body).decode(),
            "answer": _answer(apps[case.model], case),
        }
        for case in CASES
    ]
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
