"""Who asks MLflow's server: one signed header between Django and it, in place of a password.

Django writes it for a user that it has authenticated; `authorize`, which MLflow calls by its
`authorization_function` setting, verifies it. It is the only way in: no other header counts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from studio.lib.secrets import sign, signed

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.datastructures import Authorization

HEADER = "X-Studio-Identity"
_LIFETIME = (
    30  # seconds from Django's signature to MLflow's check; the request itself may last longer
)

_key = b""


def header_for(username: str, key: bytes) -> str:
    """Return the header's value for this user, valid for half a minute."""
    claim = f"{quote(username, safe='')}|{int(time.time()) + _LIFETIME}"
    return f"{claim}|{sign(key, claim)}"


def username_from(header: str, key: bytes) -> str | None:
    """Return who the header names, or None: forged, too old or not a header of ours."""
    claim, _, signature = header.rpartition("|")
    if not key or not signed(key, claim, signature):
        return None
    name, _, until = claim.partition("|")
    return unquote(name) if int(until) >= time.time() else None


def accept(key: bytes) -> None:
    """Tell `authorize` the key. Called once, in MLflow's process, before it serves."""
    global _key
    _key = key


def authorize() -> Authorization | Response:
    """MLflow's authorization function: runs inside a Flask request."""
    from flask import make_response, request
    from werkzeug.datastructures import Authorization

    username = username_from(request.headers.get(HEADER, ""), _key)
    if username is None:
        return make_response("Only Studio may ask this server.", 401)
    return Authorization("basic", {"username": username, "password": ""})
