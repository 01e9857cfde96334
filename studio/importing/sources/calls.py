"""Calls of MLflow's REST API. What fails for a moment is asked again, what fails for good is told."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from studio.importing.addresses import public
from studio.importing.units import NONSENSE, File, Refused, Row, Unreachable, is_storable, printable
from studio.lib.errors import Invalid, Unavailable

_PAUSES = (0.5, 2.0, 8.0)
_API = "api/2.0/mlflow/"
_DEEPEST = 100
_LARGEST = 64 << 20  # bytes of an answer


class Answered(Exception):
    """The server answers a call with an error. Its text is what the server says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Calls:
    """A client of a server, which asks as one user."""

    def __init__(self, address: str, *, token: str, username: str, password: str) -> None:
        self._address = public(address).rstrip("/") + "/"
        own = httpx.URL(address)  # who is told of in the address is not told of again
        if not username:
            username, password = own.username, own.password
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        auth = (username, password) if username and not token else None
        self._client = httpx.Client(headers=headers, auth=auth, timeout=120, verify=_verify())

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, /, **given: Any) -> Row:
        return self._json("GET", path, params={k: v for k, v in given.items() if v})

    def post(self, path: str, /, **given: Any) -> Row:
        return self._json("POST", path, json={k: v for k, v in given.items() if v})

    def pages(
        self, ask: Callable[..., Row], path: str, name: str, /, **given: Any
    ) -> Iterator[Row]:
        """What a listing holds under `name`, page after page. Raises Answered."""
        token = ""
        while True:
            page = ask(path, **given, page_token=token)
            found = page.get(name, [])
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise Answered(200, f"its list of {name} is none")
            yield from found
            following = page.get("next_page_token", "")
            if not following or following == token:
                return
            token = following

    @contextmanager
    def stream(self, path: str, size: int, /, **given: str) -> Iterator[Iterator[bytes]]:
        """A file. Raises Refused where the server does not give it, or gives another than it has told of."""
        try:
            with self._client.stream("GET", self._address + path, params=given) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise Refused(f"the server answers {answer.status_code}")
                yield _measured(answer.iter_bytes(), size)
        except httpx.HTTPError as failure:
            raise self._gone(failure) from None

    def _json(self, method: str, path: str, /, **given: Any) -> Row:
        address = self._address + (path if path.startswith("ajax-api") else _API + path)
        status, body = self._ask(method, address, **given)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if status != httpx.codes.OK:
            told = found.get("message") if isinstance(found, dict) else None
            raise Answered(status, printable(str(told or f"it answers {status}"), 500))
        if not isinstance(found, dict):
            raise Answered(status, "its answer is no JSON of MLflow's")
        return found

    def _ask(self, method: str, address: str, **given: Any) -> tuple[int, bytes]:
        """Status and body of an answer. Raises Answered for one that is too large to hold."""
        for pause in (*_PAUSES, None):
            try:
                with self._client.stream(method, address, **given) as answer:
                    status, body = answer.status_code, _held(answer)
            except httpx.HTTPError as failure:
                if pause is None:
                    raise self._gone(failure) from None
            else:
                if pause is None or status not in (429, 502, 503, 504):
                    return status, body
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _gone(self, failure: Exception) -> Unavailable:
        return Unavailable(
            f"The server {self._address} does not answer ({printable(str(failure)) or type(failure).__name__}). "
            "What has come is whole; start the same command again to go on where it was."
        )

    def require(self) -> None:
        """Raises Invalid unless the server lets us read."""
        try:
            self.post("experiments/search", max_results=1)
        except Answered as answered:
            if answered.status in (401, 403):
                raise Invalid(
                    f"The server {self._address} does not let us in ({answered.status}). Set "
                    "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
                ) from None
            raise Invalid(f"{self._address} does not answer as MLflow does: {answered}.") from None


class ServedFiles:
    """The files of a run or a logged model, as a server lists and gives them."""

    def __init__(
        self, lists: Callable[[str], Iterator[Row]], gives: Callable[[str, int], Any]
    ) -> None:
        self._lists, self._gives = lists, gives

    def walk(self, refuse: Callable[[str, str], None]) -> Iterator[File]:
        return self._walk("", 0, refuse)

    def _walk(self, folder: str, depth: int, refuse: Callable[[str, str], None]) -> Iterator[File]:
        try:
            for entry in self._lists(folder):
                path = str(entry.get("path", ""))
                inside = path.startswith(f"{folder}/") if folder else path not in ("", ".", "/")
                if not inside or depth > _DEEPEST or not is_storable(path):
                    refuse(path, "the server lists it where it cannot be")
                elif entry.get("is_dir"):
                    yield from self._walk(path, depth + 1, refuse)
                elif (size := _size(entry)) is None:
                    refuse(path, "the server tells a size of it that is none")
                else:
                    yield File(path, size, lambda p=path, s=size: self._gives(p, s), near=False)  # type: ignore[misc]
        except Answered as answered:
            if folder:
                refuse(folder, f"the server does not list it: {answered}")
            else:
                raise Unreachable(f"the server does not list them: {answered}") from None


def _held(answer: httpx.Response) -> bytes:
    """The body, unpacked, as long as it is not too large. Raises Answered."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _LARGEST:
            raise Answered(answer.status_code, f"its answer is larger than {_LARGEST >> 20} MB")
    return bytes(body)


def _size(entry: Row) -> int | None:
    try:
        return int(entry.get("file_size") or 0)
    except NONSENSE:
        return None


def _measured(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The pieces, as long as they are no more than was told. Raises Refused."""
    got = 0
    for piece in pieces:
        got += len(piece)
        if got > size:
            break
        yield piece
    if got != size:
        raise Refused(f"the server told of {size} bytes and gave {'more' if got > size else got}")


def _verify() -> ssl.SSLContext | bool:
    """Certificates as MLflow's own client looks at them."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return False
    path = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    return ssl.create_default_context(cafile=path) if path else True
