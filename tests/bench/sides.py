"""The three that are compared: what each needs to be asked, and to be asked about what it has stored."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import psycopg

from tests.bench.load import Address, Answers

STUDIO, MLFLOW, FASTTRACKML = "Studio", "mlflow server", "FastTrackML"
NUMBER = b"@@@@@@@@"  # in a body: eight digits, other ones in each request


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    address: Address
    database: str  # its address, for libpq
    experiment: str
    token: str = ""  # without one, it asks for none

    def request(self, route: str, body: str) -> bytes:
        """A whole request, to be sent as it is once its NUMBER has been filled in."""
        told = ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
        return self._head("POST", route, *told) + body.encode()

    def question(self, route: str, **given: str) -> bytes:
        """A whole request that has no body."""
        return self._head("GET", f"{route}?{urlencode(given)}")

    def ask(self, route: str, **given: object) -> Any:
        """One call on a connection of its own. Raises RuntimeError for any answer but 200."""
        return json.loads(self.answer(self.request(route, json.dumps(given))))

    def answer(self, request: bytes) -> bytes:
        """The body of the answer to a request, on a connection of its own. Raises RuntimeError for any but 200."""
        with socket.create_connection(self.address, 60) as line:
            line.sendall(request)
            answers = Answers(line)
            while (body := answers.take()) is None:
                pass
        return body

    def _head(self, method: str, path: str, *more: str) -> bytes:
        host, port = self.address
        lines = [
            f"{method} /api/2.0/mlflow/{path} HTTP/1.1",
            f"Host: {host}:{port}",
            "User-Agent: bench",
            *more,
            *([f"Authorization: Bearer {self.token}"] if self.token else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def make_run(self) -> str:
        """The id of a new run."""
        made = self.ask(
            "runs/create", experiment_id=self.experiment, start_time=int(time.time() * 1000)
        )
        return str(made["run"]["info"]["run_id"])

    def value(self, statement: str, given: dict[str, object] | None = None) -> Any:
        """The one value that a statement finds in its database."""
        with psycopg.connect(self.database) as connection:
            row = connection.execute(statement.encode(), given).fetchone()
        assert row is not None
        return row[0]
