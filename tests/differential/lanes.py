"""The two lanes: Studio's public address, and MLflow's own server asked as Studio asks it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from studio.mlflow.identity import HEADER, header_for
from tests.differential.cases import Case

_TIMEOUT = 60  # seconds
_AGENT = "mlflow-python-client/3.17.2"


class Answer(NamedTuple):
    """What a lane has answered. `kind` is the content type as it was sent, or None."""

    status: int
    kind: str | None
    body: bytes


NO_ANSWER = Answer(0, None, b"")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mlflow", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(str(self._path))


class Lane:
    """One kept connection. Not for two threads at a time."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def ask(self, case: Case, body: bytes) -> Answer:
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send exactly these headers: no others are made up, no content type least of all."""
        try:
            return self._sent(method, target, headers, body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()  # the server has closed what was kept; a new one is opened
            return self._sent(method, target, headers, body)

    def _sent(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.getheader("Content-Type"), answer.read())


class Fast(Lane):
    """Studio's address, with a token of who asks, or as their browser."""

    def __init__(self, port: int, credentials: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT))
        self._credentials = credentials

    def ask(self, case: Case, body: bytes) -> Answer:
        headers = {"User-Agent": _AGENT, **self._credentials[case.who]}
        return self._send(case.method, f"{case.prefix}/{case.route}", headers | _type(case), body)


class Reference(Lane):
    """MLflow's server behind Studio's socket, with the identity that Studio signs for who asks."""

    def __init__(self, path: Path, key: bytes, names: Mapping[str, str]) -> None:
        super().__init__(_UnixConnection(path))
        self._key = key
        self._names = names

    def ask(self, case: Case, body: bytes) -> Answer:
        signed = {HEADER: header_for(self._names[case.who], self._key)}
        headers = {"User-Agent": _AGENT, **signed, **_type(case)}
        below = case.prefix.removeprefix("/mlflow")  # Studio's place for MLflow's pages
        return self._send(case.method, f"{below}/{case.route}", headers, body)


def _type(case: Case) -> dict[str, str]:
    return {} if case.content_type is None else {"Content-Type": case.content_type}
