"""Addresses of artifacts: what they become here, and what those keep whose files could not come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import connection

from studio.lib.s3 import is_below

OWN = "mlflow-artifacts:/"
# Nobody opens this scheme: the address of a file on another machine must not name one of this Studio's.
_ELSEWHERE = "elsewhere:"
# Where a client that has its own access may still find them.
_STORES = {"s3", "gs", "wasb", "wasbs", "abfs", "abfss", "dbfs", "hdfs", "viewfs", "oss", "r2"}
_PIECES = {"run": "{id}/artifacts", "logged model": "models/{id}/artifacts"}
_PIECES["trace"] = "traces/{id}/artifacts"
# Of these what stands before an @ is a container; of all others it is whose password it is.
_CONTAINED = ("wasb:", "wasbs:", "abfs:", "abfss:")
_USER = re.compile(r"((?:elsewhere:)?([a-z][a-z0-9+.-]*:)?//)([^/?#]*)@", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9][\w-]{0,35}")


def folder(kind: str, name: str, experiment: int) -> str:
    """Where below STUDIO_ARTIFACTS MLflow keeps the files of a thing."""
    return f"{experiment}/{_PIECES[kind].format(id=name)}"


def public(address: str) -> str:
    """An address without the name and password that it may hold."""
    found = _USER.match(address)
    if found is None or ((found[2] or "").lower() in _CONTAINED and ":" not in found[3]):
        return address
    return found[1] + address[found.end() :]


def elsewhere(address: str) -> str:
    """The address of files that did not come, in a form that names nothing below STUDIO_ARTIFACTS."""
    address = public(address)
    if address.startswith(_ELSEWHERE):
        return address
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        scheme = ""
    place = settings.ARTIFACTS
    kept = scheme in _STORES and not (isinstance(place, str) and is_below(address, place))
    return address if kept else _ELSEWHERE + address


def is_own(address: str) -> bool:
    return address.startswith(OWN)


def rewritten(address: str, coming: Mapping[str, str]) -> str | None:
    """The address here of a path among the artifacts of a run or a logged model that has come. None: of none.

    `coming`: addresses of those that would come, in a dry run.
    """
    names = [name for name in unquote(address).split("/") if name]
    if ".." in names:
        return None
    for place, name in enumerate(names[1:], 1):
        owner = names[place - 1]
        if name == "artifacts" and _ID.fullmatch(owner):
            base = coming.get(owner) or _address_of(owner)
            if is_own(base):
                return "/".join([base, *names[place + 1 :]])
    return None


def _address_of(owner: str) -> str:
    """The address of the run or logged model of this id, or nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT artifact_uri FROM runs WHERE run_uuid = %s
             UNION ALL SELECT artifact_location FROM logged_models WHERE model_id = %s
            """,
            [owner, owner],
        )
        found = cursor.fetchone()
    return str(found[0] or "") if found else ""
