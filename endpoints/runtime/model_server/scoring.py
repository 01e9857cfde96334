"""
MLflow's scoring protocol, by MLflow's own code.

Since 2.21 that code is `scoring_server.invocations()`, which needs no web framework. Before,
it is the Flask application of `scoring_server.init()`: 2.0 to 2.5 keep the logic inside its
view, and from 2.6 to 2.20 `invocations()` exists but reads `flask.request` on its way.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
from typing import TYPE_CHECKING, Any, Callable
from wsgiref.util import setup_testing_defaults

from mlflow.exceptions import MlflowException
from mlflow.version import VERSION
from packaging.version import Version

from .answer import JSON, Answer, error

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    Invoke = Callable[[bytes, str], Answer]

log = logging.getLogger(__name__)


class Scorer:
    """Answers for one model. Meant for one thread: model code is never run concurrently."""

    version: str = VERSION

    def __init__(self, model: PyFuncModel) -> None:
        without_flask = Version(VERSION).release >= (2, 21)
        self._invoke = _direct(model) if without_flask else _through_flask(model)

    def score(self, body: bytes, content_type: str | None) -> Answer:
        """Answer one request. Never raises; what went wrong on our side is in the log."""
        if content_type is None:
            return error(400, "BAD_REQUEST", "The request has no Content-Type header.")
        try:
            answer = self._invoke(body, content_type)
        except MlflowException as refusal:
            answer = _refused(refusal)
        except UnicodeDecodeError as failure:
            return error(400, "BAD_REQUEST", f"The body is not UTF-8 text: {failure}.")
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - one request never ends the server
            log.exception("a request failed")
            return error(500, "INTERNAL_ERROR", f"{type(failure).__name__}: {failure}")
        if answer.status >= 400:
            told = answer.body.decode(errors="replace")
            log.warning("a request was answered with %d: %.500s", answer.status, told)
        return answer


def _refused(refusal: Any) -> Answer:
    """Return the answer MLflow gives for a MlflowException."""
    status: int = refusal.get_http_status_code()
    # MLflow answers 400 also when predict() raises, and then adds the stack trace.
    if status >= 500 or "stack_trace" in refusal.json_kwargs:
        log.error("a request failed", exc_info=refusal)
    return Answer(status, JSON, refusal.serialize_as_json().encode())


def _scoring_server() -> Any:
    """Import it late: before 2.21 it needs Flask."""
    return importlib.import_module("mlflow.pyfunc.scoring_server")


def _direct(model: Any) -> Invoke:
    scoring_server = _scoring_server()
    # As init() does, which we do not call: models with type hints ask for it.
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    schema = model.metadata.get_input_schema()

    def invoke(body: bytes, content_type: str) -> Answer:
        text, status, mimetype = scoring_server.invocations(body, content_type, model, schema)
        charset = "; charset=utf-8" if mimetype.startswith("text/") else ""
        return Answer(status, mimetype + charset, text.encode())

    return invoke


def _through_flask(model: PyFuncModel) -> Invoke:
    scoring_server = _scoring_server()
    # Leave exceptions to us, who turn them into the same answer but log the traceback too.
    scoring_server.catch_mlflow_exception = lambda view: view
    app = scoring_server.init(model)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return lambda body, content_type: _call_wsgi(app, body, content_type)


def _call_wsgi(app: Any, body: bytes, content_type: str) -> Answer:
    # By hand: Flask 2's own test client does not run on Werkzeug 3.
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/invocations",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    started: list[tuple[str, dict[str, str]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> None:
        started.append((status, {name.lower(): value for name, value in headers}))

    answered = b"".join(app(environ, start_response))
    status, headers = started[-1]
    return Answer(int(status.split()[0]), headers["content-type"], answered)
