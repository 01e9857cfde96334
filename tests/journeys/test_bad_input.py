"""What nobody should send, to a whole running Studio: refused in MLflow's words, or cut off, and in nobody's way."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from studio.lib.memory import descendants, memory_of
from tests.support.live import Studio
from tests.support.web import chunk

API = "/api/2.0/mlflow"
JSON = {"Content-Type": "application/json"}
MB = 1 << 20
# Answered by Studio itself, by MLflow's server, and by MLflow's server behind a guard that reads the body.
ROUTES = [f"{API}/runs/log-batch", f"{API}/runs/search", f"{API}/users/create"]
Send = Callable[[float], httpx.Response]


@pytest.fixture(scope="module")
def client(live: Studio, token: str) -> Iterator[httpx.Client]:
    with live.client(token) as client:
        yield client


@pytest.fixture(scope="module")
def place(client: httpx.Client) -> tuple[str, str]:
    """A new experiment and a run in it."""
    name = {"name": f"bad-input-{secrets.token_hex(4)}"}
    experiment = client.post(f"{API}/experiments/create", json=name).json()["experiment_id"]
    run = client.post(f"{API}/runs/create", json={"experiment_id": experiment}).json()["run"]
    return experiment, run["info"]["run_id"]


@pytest.fixture
def log(client: httpx.Client, place: tuple[str, str]) -> Send:
    def log(value: float) -> httpx.Response:
        metric = {"run_id": place[1], "key": "loss", "value": value, "timestamp": 1, "step": 1}
        return client.post(f"{API}/runs/log-metric", json=metric)

    return log


def held(live: Studio) -> int:
    """Bytes that the web processes hold."""
    web = live.pid("web")
    assert web is not None
    return sum(memory_of(pid) for pid in descendants(web))


def is_refused(answer: httpx.Response, status: int) -> bool:
    told = answer.json()
    return answer.status_code == status and bool(told["error_code"]) and bool(told["message"])


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
def test_a_body_of_100_mb_is_refused_and_costs_no_memory(
    live: Studio, client: httpx.Client, path: str, known: bool
) -> None:
    before = held(live)
    pieces = (bytes(MB) for _ in range(100))
    headers = JSON | ({"Content-Length": str(100 * MB)} if known else {})
    assert is_refused(client.post(path, content=pieces, headers=headers), 413)
    assert held(live) < before + 100 * MB


@pytest.mark.parametrize("path", [*ROUTES, "/graphql", f"{API}/registered-models/create"])
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"run_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
    ids=["lists", "objects", "closed"],
)
def test_json_that_is_nested_deeply_is_refused(
    client: httpx.Client, path: str, body: bytes
) -> None:
    assert is_refused(client.post(path, content=body, headers=JSON), 400)


def test_so_it_is_by_studios_own_api(client: httpx.Client) -> None:
    answer = client.post("/api/v1/endpoints", content=b"[" * 100_000, headers=JSON)
    assert answer.status_code == 400
    assert "nested" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", [f"{API}/runs/log-batch", f"{API}/registered-models/create", "/graphql"]
)
def test_a_body_that_is_no_utf_8_is_refused(client: httpx.Client, path: str) -> None:
    body = b'{"run_id": "\xff\xfe", "name": "\xc3"}'
    assert is_refused(client.post(path, content=body, headers=JSON), 400)


def slow(live: Studio, token: str, path: str, *, known: bool, begin: int) -> socket.socket:
    """A client that has sent the beginning of a long body."""
    method = "PUT" if "artifacts" in path else "POST"
    told = "Content-Length: 1000000" if known else "Transfer-Encoding: chunked"
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{live.port}", told]
    head += [f"Authorization: Bearer {token}", "Content-Type: application/json", "", ""]
    wire = socket.create_connection(("127.0.0.1", live.port), 10)
    body = b" " * begin
    wire.sendall("\r\n".join(head).encode() + (body if known else chunk(body)))
    return wire


def many_slow(live: Studio, token: str, place: tuple[str, str]) -> list[socket.socket]:
    """A hundred for each web process."""
    artifact = "/api/2.0/mlflow-artifacts/artifacts/{}/{}/artifacts/slow".format(*place)
    kinds = [
        (path, known, begin)
        for path in (*ROUTES, artifact, "/login/")
        for known in (True, False)
        for begin in (1, 100_000)
    ]
    return [
        slow(live, token, path, known=known, begin=begin)
        for path, known, begin in kinds * (200 // len(kinds))
    ]


def test_a_hundred_slow_clients_for_each_process_hold_up_nobody(
    live: Studio, token: str, place: tuple[str, str], log: Send, client: httpx.Client
) -> None:
    with ExitStack() as closing:
        for wire in many_slow(live, token, place):
            closing.enter_context(wire)
        assert {log(value).status_code for value in range(50)} == {200}
        assert client.get("/experiments/").status_code in (200, 302)
        assert client.get(f"{API}/runs/get?run_id={place[1]}").status_code == 200


def test_who_hangs_up_in_the_middle_leaves_nothing_behind(
    live: Studio, token: str, place: tuple[str, str], log: Send, client: httpx.Client
) -> None:
    for wire in many_slow(live, token, place):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    assert {log(value).status_code for value in range(50)} == {200}
    listed = client.get(f"{API}/artifacts/list?run_id={place[1]}").json()
    assert not listed.get("files")
