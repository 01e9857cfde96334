"""Has MLflow's server tell a full disk, and a database that is away, in words for people, and as something to repeat.

MLflow's own words are the database's, with statement and values in them, and of a disk it says nothing but
"Internal Server Error", which its clients do not repeat. Loaded in MLflow's own process only.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from flask import Response
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


def _answer(request: Request, failure: Exception) -> JSONResponse:
    return JSONResponse(_body(failure), status_code=503)


def _flask_answer(failure: OSError) -> Response:
    return Response(json.dumps(_body(failure)), status=503, mimetype="application/json")


def _body(failure: Exception) -> dict[str, str]:
    """Raises what is of another kind: that is a mistake, and ends as one."""
    trouble = told(failure)
    if trouble is None:
        raise failure
    log.warning("refused by the disk: %s", failure)
    return {"error_code": "TEMPORARILY_UNAVAILABLE", "message": trouble}
