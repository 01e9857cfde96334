"""Has MLflow's server tell what is wrong in words for people, and what may be repeated as something to repeat.

MLflow's own words for a database that is away are the database's, with statement and values in them. Of a full
disk, and of JSON that is nested too deeply, it says nothing but "Internal Server Error", as a page. Loaded in
MLflow's own process only.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from flask import Response, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.server import app as flask_app
from mlflow.store.db import utils

from studio.lib.trouble import told

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Called once, before MLflow serves."""
    made = MlflowException.__init__

    def in_words(self: Any, message: object, *given: Any, **more: Any) -> None:
        made(self, message, *given, **more)
        if isinstance(message, Exception) and (trouble := told(message)):
            log.warning("refused by the database: %s", type(message.__cause__ or message).__name__)
            made(self, trouble, TEMPORARILY_UNAVAILABLE)

    MlflowException.__init__ = in_words
    utils._logger.addFilter(lambda record: not record.exc_info)  # told above, in a line
    app.add_exception_handler(OSError, _answer)
    flask_app.register_error_handler(OSError, _flask_answer)
    flask_app.register_error_handler(RecursionError, _too_deep)
    flask_app.before_request(_refuse_unreadable_query)


def _answer(request: Request, failure: Exception) -> JSONResponse:
    return JSONResponse(_body(failure), status_code=503)


def _flask_answer(failure: OSError) -> Response:
    return Response(json.dumps(_body(failure)), status=503, mimetype="application/json")


def _too_deep(failure: RecursionError) -> Response:
    return _invalid("This request is nested too deeply to be read.")


def _refuse_unreadable_query() -> Response | None:
    """MLflow takes whatever is sent to its GraphQL for an object with a query, and fails where it is none."""
    if request.method != "POST" or not request.path.endswith("/graphql"):
        return None
    sent = request.get_json(force=True, silent=True)
    if isinstance(sent, dict) and isinstance(sent.get("query"), str):
        return None
    return _invalid("This is no GraphQL request: send a JSON object with a text named 'query'.")


def _invalid(told: str) -> Response:
    body = MlflowException.invalid_parameter_value(told).serialize_as_json()
    return Response(body, status=400, mimetype="application/json")


def _body(failure: Exception) -> dict[str, str]:
    """Raises what is of another kind: that is a mistake, and ends as one."""
    trouble = told(failure)
    if trouble is None:
        raise failure
    log.warning("refused by the disk: %s", failure)
    return {"error_code": "TEMPORARILY_UNAVAILABLE", "message": trouble}
