"""Uploads of files, answered in the place of MLflow's server and as it answers: streamed to the store of artifacts.

A file is there whole or not at all. While it comes no connection to the database is held and no lock: who sends
slowly, or stops, keeps nobody but himself waiting. Imports MLflow, so that only web does so, at its first upload.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from django.db import connection
from django.http import HttpResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils.uri import validate_path_is_safe

from studio.accounts.models import User
from studio.accounts.permissions import Level, mlflow_level_on
from studio.lib import artifacts
from studio.lib.bodies import length_of, pieces
from studio.lib.drafts import PREFIX
from studio.lib.errors import Invalid, NotFound
from studio.lib.folders import outside
from studio.lib.home import STORE_ID
from studio.mlflow.guards import Call
from tracking import activity

# As MLflow reads a path: mlflow.server.auth, _artifact_proxy_child.
_EXPERIMENT = re.compile(r"(?:workspaces/[^/]+/)?(\d+)/")
_PARTS = {"models": "logged_model", "traces": "trace"}
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_OF_RUN = re.compile(r"((?:.+/)?([0-9a-f]{32})/artifacts)/.+")
_NO_NAME = b'{"detail":"Artifact path must include a filename (cannot end with \'/\')."}'


class Owner(NamedTuple):
    """Whose grants count for a path: an experiment's, and of a part of it those on parts of its kind."""

    experiment: str
    part: str

    @classmethod
    def of(cls, path: str) -> Owner | None:
        """None: nobody's but the administrators'."""
        found = _EXPERIMENT.match(f"{path}/")
        if found is None:
            return None
        names = [name for name in path[found.end() :].split("/") if name]
        part = _PARTS.get(names[0], "") if names else ""
        if not part and names and (names[1:2] == ["artifacts"] or _RUN_ID.fullmatch(names[0])):
            part = "run"
        return cls(found[1], part)


def upload(call: Call) -> HttpResponse | None:
    """Store the body of a request at the path that it names, if the user may.

    None: MLflow has no such route. Raises Unavailable; ConnectionAbortedError when the body breaks off.
    """
    asked: str = call.parameters["path"]
    if "\n" in asked:
        return None
    path = canonical(asked)
    if not _may_write(call.user, path):
        return _answer(403, b"Permission denied", "text/plain; charset=utf-8")
    if path is not None and (path.endswith("/") or not path):
        return _answer(400, _NO_NAME)
    try:
        _store(call, _place_of(path))
    except MlflowException as refused:
        return _answer(refused.get_http_status_code(), refused.serialize_as_json().encode())
    if path and (run := _OF_RUN.fullmatch(path)):
        activity.note(run[2], f"mlflow-artifacts:/{run[1]}")
    return _answer(200, b"")


def canonical(asked: str) -> str | None:
    """The path that MLflow makes of it, which decodes it to the end. None: it takes it for none."""
    try:
        return str(validate_path_is_safe(asked))
    except (
        MlflowException,
        ValueError,
    ):  # ValueError: encoded too often, or like the address of a host
        return None


def _may_write(user: User, path: str | None) -> bool:
    if user.is_administrator:
        return True
    owner = None if path is None else Owner.of(path)
    if owner is None:
        return False
    return mlflow_level_on(user, "experiment", owner.experiment, owner.part) >= Level.EDIT


def _place_of(path: str | None) -> str:
    """Where the file is to lie. Raises MlflowException for a path that MLflow's stores refuse."""
    if path is None:
        raise _refused("Invalid path")
    folder, name = posixpath.split(path)
    plain = posixpath.normpath(folder) if folder else ""
    if plain != folder or folder == ".":
        raise _refused(
            f"Invalid artifact path: '{folder}'. Names may be treated as files in certain cases, and must not resolve "
            f"to other names when treated as such. This name would resolve to {plain!r}"
        )
    if name.startswith(PREFIX):
        raise _refused(
            f"Invalid artifact file name: '{name}'. Artifact names starting with '{PREFIX}' are reserved."
        )
    return posixpath.join(folder, name)


def _store(call: Call, path: str) -> None:
    """Raises MlflowException where no file can lie."""
    environ = call.request.META
    if path == STORE_ID:  # it is no artifact
        raise _refused(outside(path).message)
    if not connection.in_atomic_block:
        connection.close()  # back to the pool, while nobody knows how long the client takes
    try:
        artifacts.root().receive(path, pieces(environ, None), length_of(environ))
    except (Invalid, NotFound) as refused:
        raise _refused(refused.message) from None


def _refused(told: str) -> MlflowException:
    return MlflowException(told, INVALID_PARAMETER_VALUE)


def _answer(status: int, body: bytes, content_type: str = "application/json") -> HttpResponse:
    response = HttpResponse(body, status=status, content_type=content_type)
    if not body:
        del response.headers["Content-Type"]
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
