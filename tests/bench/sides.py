"""The three that are compared: what each needs to be asked, and to be asked about what it has stored."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.bench.load import Address, body_of

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
        host, port = self.address
        lines = [
            f"POST /api/2.0/mlflow/{route} HTTP/1.1",
            f"Host: {host}:{port}",
            "User-Agent: bench",
            "Content-Type: application/json",
            f"Content-Length: {len(body.encode())}",
            *([f"Authorization: Bearer {self.token}"] if self.token else []),
        ]
        return "\r\n".join([*lines, "", body]).encode()

    def ask(self, route: str, **given: object) -> Any:
        """One call on a connection of its own. Raises RuntimeError for any answer but 200."""
        with socket.create_connection(self.address, 60) as line:
            line.sendall(self.request(route, json.dumps(given)))
            heard = b""
            while (body := body_of(heard)) is None:
                came = line.recv(65536)
                if not came:
                    raise RuntimeError(f"{self.name}: the connection was closed after {heard!r}")
                heard += came
        return json.loads(body)

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
