"""Downloads and lists of files, answered in the place of MLflow's server and as it answers.

Only what is asked as clients ask it, and is there and may be read, is answered here. Whatever else comes goes to MLflow's
own server, which has the words for it. While a file is sent no connection to the database is held. Imports MLflow, so
that only web does so, at its first download.
"""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import TypeVar
from urllib.parse import quote

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from mlflow.utils.mime_type_utils import _guess_mime_type

from studio.accounts.models import User
from studio.accounts.permissions import Level, mlflow_level_on
from studio.lane.asked import Asked, fields, text
from studio.lane.asking import Elsewhere
from studio.lane.messages import Body
from studio.lib import artifacts
from studio.lib.errors import StudioError
from studio.lib.folders import Entry, Opened
from studio.lib.home import STORE_ID
from studio.mlflow.guards import Call
from tracking.lane.reading.named import run_of
from tracking.models import Run
from tracking.uploads import Owner, canonical

_Answer = TypeVar("_Answer", bound=HttpResponseBase)

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Of a run's files in Studio's store: nothing in it that MLflow's ways to read an address might differ about.
_OWN = re.compile(r"mlflow-artifacts:/([^/%?#;][^%?#;]*)")


@dataclass(frozen=True, slots=True)
class _Part:
    """The bytes of a file from `start` up to `stop`, for who sends them. To close it closes the file."""

    file: Opened
    start: int
    stop: int

    def __iter__(self) -> Iterator[bytes]:
        return self.file.pieces(self.start, self.stop)

    def close(self) -> None:
        self.file.close()


class _Unsatisfiable(Exception):
    """The file has no such bytes."""


def download(call: Call) -> HttpResponseBase | None:
    """The file at the path that a request names, or the one range of it that is asked for. None: MLflow is to answer."""
    asked: str = call.parameters["path"]
    if call.request.method != "GET" or call.request.META.get("QUERY_STRING") or "\n" in asked:
        return None
    path = _plain(asked)
    if not path or path == STORE_ID or not _may_read(call.user, path):
        return None
    if not connection.in_atomic_block:
        connection.close()  # back to the pool, while nobody knows how long the client takes
    try:
        file = artifacts.root().open(path)
    except (StudioError, OSError):
        return None
    try:
        answer = _sent(call.request, file, path)
    except (StudioError, Elsewhere):
        answer = None
    if not isinstance(answer, StreamingHttpResponse):
        file.close()
    return answer


def listing(call: Call) -> HttpResponse | None:
    """What lies in a folder of a run's, or in the run's own. None: MLflow is to answer."""
    if call.request.method != "GET":
        return None
    query = call.request.META.get("QUERY_STRING", "")
    wanted = {"run_id": text, "run_uuid": text, "path": text}
    try:
        sent = fields(Asked("GET", query, Body(b"", None)), wanted)
        uri, own = _files_of(call.user, run_of(sent))
        path = _plain(sent.get("path", ""))
        if path is None:
            return None
        return _listed(posixpath.join(own, path).rstrip("/"), path, {"root_uri": uri})
    except (Elsewhere, StudioError, OSError):
        return None


def folder(call: Call) -> HttpResponse | None:
    """What lies in the folder of the store that a request names, as clients ask of `mlflow-artifacts:` addresses. None: as above."""
    if call.request.method != "GET":
        return None
    query = call.request.META.get("QUERY_STRING", "")
    try:
        path = _plain(fields(Asked("GET", query, Body(b"", None)), {"path": text})["path"])
        if not path or not _may_read(call.user, path):
            return None
        owner = Owner.of(path)
        if not call.user.is_administrator and (owner is None or not owner.part):
            return None  # of an experiment's own folder MLflow leaves out what the user may not see
        return _listed(path, "", {})
    except (Elsewhere, StudioError, OSError):
        return None


def _listed(place: str, told_as: str, more: dict[str, object]) -> HttpResponse:
    """The entries of a folder in the store, below the path that they are told by."""
    entries = sorted(artifacts.root().entries(place), key=lambda each: each.name)
    files = [_described(each, told_as) for each in entries]
    told = more | ({"files": files} if files else {})
    return _guarded(HttpResponse(json.dumps(told), content_type="application/json"))


def _plain(asked: str) -> str | None:
    """The path that MLflow makes of it. None: it takes it for none, or tidies it up further."""
    path = canonical(asked)
    return path if not path or posixpath.normpath(path) == path != "." else None


def _may_read(user: User, path: str) -> bool:
    if user.is_administrator:
        return True
    owner = Owner.of(path)
    if owner is None:
        return False
    return mlflow_level_on(user, "experiment", owner.experiment, owner.part) >= Level.READ


def _files_of(user: User, run_id: str) -> tuple[str, str]:
    """The address of a run's files, and where they lie in the store.

    Raises Elsewhere where there is no such run, the user may not read it, or they do not lie there.
    """
    found = Run.objects.filter(pk=run_id).values_list("experiment_id", "artifact_uri").first()
    if found is None or mlflow_level_on(user, "experiment", str(found[0]), "run") < Level.READ:
        raise Elsewhere
    uri: str = found[1] or ""
    own = _OWN.fullmatch(uri)
    if own is None or posixpath.normpath(own[1]) != own[1]:
        raise Elsewhere
    return uri, own[1]


def _described(entry: Entry, folder: str) -> dict[str, object]:
    told = {"path": posixpath.join(folder, entry.name), "is_dir": entry.is_folder}
    return told | ({"file_size": entry.size} if entry.size else {})


def _sent(request: HttpRequest, file: Opened, path: str) -> HttpResponse | StreamingHttpResponse:
    """Raises Elsewhere, and StudioError of a store that no longer has the file or does not answer."""
    modified = formatdate(file.modified, usegmt=True)
    headers = {
        "Content-Type": _guess_mime_type(path),
        "Content-Disposition": attachment(posixpath.basename(path)),
        "Accept-Ranges": "bytes",
        "Last-Modified": modified,
        "ETag": file.tag,
    }
    start, stop, status = 0, file.size, 200
    if _is_for_a_range(request, file.tag, modified):
        try:
            start, stop = _range(request.headers["Range"], file.size)
        except _Unsatisfiable:
            return _guarded(_nothing_of(file.size))
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    return _guarded(StreamingHttpResponse(_Part(file, start, stop), status=status, headers=headers))


def _is_for_a_range(request: HttpRequest, tag: str, modified: str) -> bool:
    """Not where the client has a part of another file than this."""
    return "Range" in request.headers and request.headers.get("If-Range", tag) in (tag, modified)


def _range(asked: str, size: int) -> tuple[int, int]:
    """Where it begins and where it has ended. Raises _Unsatisfiable, and Elsewhere for several or one that is no range."""
    found = _RANGE.fullmatch(asked)
    if found is None or not any(found.groups()):
        raise Elsewhere
    first, last = found.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:
        start, stop = max(size - int(last), 0), size
    if start >= size:
        raise _Unsatisfiable
    if start >= stop:
        raise Elsewhere
    return start, stop


def _nothing_of(size: int) -> HttpResponse:
    answer = HttpResponse(status=416, content_type="text/plain; charset=utf-8")
    answer.headers["Content-Range"] = f"bytes */{size}"
    return answer


def attachment(name: str) -> str:
    """A Content-Disposition, as MLflow's `_content_disposition_attachment` writes it."""
    if name.isascii():
        return f"attachment; filename={_quoted(name)}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() or "download"
    encoded = quote(name, safe="!#$&+-.^_`|~")
    return f"attachment; filename={_quoted(plain)}; filename*=UTF-8''{encoded}"


def _quoted(name: str) -> str:
    if _TOKEN.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _guarded(answer: _Answer) -> _Answer:
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
