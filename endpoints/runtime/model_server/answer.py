"""What the server answers, and the shape its own errors share with MLflow's."""

from __future__ import annotations

import json
from typing import NamedTuple

JSON = "application/json"


class Answer(NamedTuple):
    """One HTTP answer, whole. `allow` names the method to use, where another one was tried."""

    status: int
    content_type: str
    body: bytes
    allow: str = ""


def error(status: int, code: str, message: str, *, allow: str = "") -> Answer:
    """Return an error in the shape of MLflow's own."""
    body = json.dumps({"error_code": code, "message": message})
    return Answer(status, JSON, body.encode(), allow)
