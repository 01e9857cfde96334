"""A refused request does not cost the client its connection."""

from __future__ import annotations

import select
import socket
from http.client import HTTPResponse

from tests.support.live import Studio

HEAD = (
    b"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
)


def test_a_refused_request_is_read_to_its_end_so_that_the_next_one_is_answered(
    live: Studio,
) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(HEAD)
        # Not answered and closed before its body has come, which the client would have to start anew for.
        early, _, _ = select.select([connection], [], [], 0.3)
        assert not early
        for rest in (b"{}", HEAD + b"{}", HEAD + b"{}"):
            connection.sendall(rest)
            answer = HTTPResponse(connection, method="POST")
            answer.begin()
            assert answer.status == 401
            answer.read()  # it may come in pieces
