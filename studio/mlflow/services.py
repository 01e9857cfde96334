"""Calls to MLflow's REST API on behalf of a user, for what Studio does through MLflow and not by itself."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings

from studio.lib.errors import StudioError
from studio.mlflow import identity, upstream


class MlflowRefused(StudioError):
    """MLflow's server said no. `status` and `message` are its own."""

    code = "mlflow"

    def __init__(self, message: str, status: int, error_code: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code


def call(username: str, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call MLflow's REST API as this user and return its answer. Raises MlflowRefused, Unavailable."""
    headers = {
        "content-type": "application/json",
        identity.HEADER: identity.header_for(username, settings.IDENTITY_KEY),
    }
    request = upstream.client().build_request(
        method, path, content=orjson.dumps(body), headers=headers
    )
    response = upstream.send(request)
    try:
        content = response.read()
    finally:
        response.close()
    answer: dict[str, Any] = orjson.loads(content) if content.startswith(b"{") else {}
    if response.status_code >= 400:
        message = answer.get("message") or content.decode(errors="replace")
        raise MlflowRefused(message, response.status_code, answer.get("error_code", ""))
    return answer
