"""The process: how it starts, what it says, how it ends."""

from __future__ import annotations

import socket
import threading
from time import monotonic

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured

from endpoints.gateway.serving import listen
from tests.endpoints.gateway.kit import EndpointRow, Gateway, MakeEndpoint, MakeGateway, eventually
from tests.endpoints.gateway.servers import Exchange, MakeServer, echo, never


def test_it_tells_whether_it_lives_and_how_old_its_routes_are(gateway: Gateway) -> None:
    assert gateway.client.get("/livez").text == "ok"
    health = gateway.client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert 0 <= health.json()["routes"]["age_seconds"] < 6
    assert gateway.client.head("/livez").status_code == 200


def test_a_port_in_use_is_one_clear_line(make_gateway: MakeGateway) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        gateway = make_gateway(port=port, wait=False)
        assert gateway.process.wait(20) == 1
    [line] = gateway.log.read_text().splitlines()
    assert str(port) in line
    assert "STUDIO_SCORING_PORT" in line


@pytest.mark.parametrize("host", ["not an address", "192.0.2.1"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="STUDIO_BIND"):
        listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_it_listens_so_that_answers_are_not_held_back(host: str) -> None:
    with listen(host, 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_of_a_normal_day_the_log_tells_of_refusals_a_line_a_second_at_most(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway = make_gateway()
    endpoint = make_endpoint(gateway, make_server())
    for key in (endpoint.primary, endpoint.secondary, "wrong", "wronger"):
        gateway.score(endpoint, key=key)
    gateway.client.get("/nowhere")
    assert gateway.stop() == 0
    told = gateway.log.read_text()
    assert told.count("\n") == 3, told
    assert f"status=401 code=unauthorized endpoint={endpoint.name!r}" in told
    assert "wrong" not in told
    assert "listening" in told
    assert "stopped" in told


def test_what_is_under_way_is_finished_before_it_ends(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    may_answer = threading.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.wait_for(may_answer)
        await echo(exchange)

    gateway, server = make_gateway(), make_server(slow)
    endpoint = make_endpoint(gateway, server)
    with Background(gateway, endpoint) as answer:
        eventually(lambda: server.requests)
        gateway.process.terminate()
        eventually(lambda: not gateway.listens())
        may_answer.set()
    assert answer.status() == 200
    assert gateway.process.wait(4) == 0


def test_what_does_not_finish_is_told_and_ended(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway, server = make_gateway(), make_server(never)
    endpoint = make_endpoint(gateway, server)
    with Background(gateway, endpoint) as answer:
        eventually(lambda: server.requests)
        began = monotonic()
        gateway.process.terminate()
        assert gateway.process.wait(6) == 0
        assert monotonic() - began < 5
    assert answer.status() == 503
    eventually(lambda: server.open == 0)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /", *[b"a" * 30_000] * 40],
        [b"GET / HTTP/1.1\r\nx: ", *[b"a" * 30_000] * 40],
        [b"GET / HTTP/1.1\r\n", *[b"x: a\r\n" * 5_000] * 40],
        [
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            *[b"x: a\r\n" * 5_000] * 40,
        ],
    ],
)
def test_headers_without_end_are_cut_off(gateway: Gateway, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            while client.recv(65536):
                pass
        except ConnectionError:
            pass  # it was closed while we still sent
    assert gateway.client.get("/livez").status_code == 200


class Background:
    """A request that is made in a thread. At the end of the block it has been answered."""

    def __init__(self, gateway: Gateway, endpoint: EndpointRow) -> None:
        self._answer: httpx.Response | None = None
        self._thread = threading.Thread(target=self._ask, args=(gateway, endpoint))

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)

    def status(self) -> int:
        assert self._answer is not None
        return self._answer.status_code

    def _ask(self, gateway: Gateway, endpoint: EndpointRow) -> None:
        self._answer = gateway.score(endpoint)
