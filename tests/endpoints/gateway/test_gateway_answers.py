"""What model servers answer, well and badly, and what the caller gets of it."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from endpoints.gateway.serving import listen
from tests.endpoints.gateway.kit import (
    Gateway,
    MakeEndpoint,
    MakeGateway,
    eventually,
    raw_request,
    settled,
)
from tests.endpoints.gateway.servers import Exchange, MakeServer, never

HEAD = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024


pytestmark = pytest.mark.usefixtures("nothing_leaks")


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x00\x01\x02\x03",
        b"HTTP/1.1 999 Strange\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"bad header: x\r\n\r\n",
        HEAD + b"x: a\rb\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nnot a length\r\n",
        HEAD + b"x: " + b"a" * 300_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
)
def test_an_answer_that_is_not_http_becomes_502(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint, sent: bytes
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(sent)
        await never(exchange)

    server = make_server(talk)
    endpoint = make_endpoint(gateway, server)
    answer = gateway.score(endpoint, x_request_id="find-me")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "bad_answer"
    lines = [line for line in gateway.log.read_text().splitlines() if "request_id=find-me" in line]
    assert f"status=502 code=bad_answer endpoint={endpoint.name} deployment=blue" in lines[-1]
    assert endpoint.primary not in gateway.log.read_text()
    eventually(lambda: server.open == 0)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"content-length: 2\r\n\r\n{}surplus",
        HEAD + b"content-length: 2\r\n\r\n{}" + HEAD + b"content-length: 6\r\n\r\nforged",
        HEAD + b"content-length: 2\r\nconnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_that_cannot_be_trusted_further_is_closed(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint, sent: bytes
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(sent)

    server = make_server(talk)
    endpoint = make_endpoint(gateway, server)
    for _ in range(3):
        assert gateway.score(endpoint).content == b"{}"
    assert server.connections == 3


def test_what_comes_on_an_idle_connection_is_nobodys_answer(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server()
    endpoint = make_endpoint(gateway, server)
    for number in range(5):
        assert gateway.score(endpoint, b"%d" % number).content == b"%d" % number
        server.say(HEAD + b"content-length: 6\r\n\r\nforged")
        eventually(lambda: server.open == 0)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ([b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"content-length: 2\r\n\r\n", b"{}"], b"{}"),
        (
            [
                HEAD,
                b"transfer-encoding: chun",
                b"ked\r\n\r\n2\r\n{}\r\n",
                b"3;x=y\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n",
            ],
            b"{}abc",
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([HEAD + b"content-length: 0\r\n\r\n"], b""),
    ],
)
def test_every_form_of_an_answer_arrives(
    gateway: Gateway,
    make_server: MakeServer,
    make_endpoint: MakeEndpoint,
    sent: list[bytes],
    body: bytes,
) -> None:
    async def talk(exchange: Exchange) -> None:
        for part in sent:
            await exchange.send(part)
            await asyncio.sleep(0)

    server = make_server(talk)
    endpoint = make_endpoint(gateway, server)
    for _ in range(3):
        answer = gateway.score(endpoint)
        assert (answer.is_success, answer.content) == (True, body)
        assert "x-trailer" not in answer.headers
    assert server.connections == 1


def test_an_answer_may_end_with_the_connection(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"\r\n", b"a" * 100_000)
        exchange.writer.close()

    endpoint = make_endpoint(gateway, make_server(talk))
    assert gateway.score(endpoint).content == b"a" * 100_000


def test_a_streamed_answer_that_breaks_off_is_broken_off(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")
        exchange.writer.close()

    endpoint = make_endpoint(gateway, make_server(talk))
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.score(endpoint)


def test_a_streamed_answer_comes_piece_by_piece(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(
            HEAD
            + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await never(exchange)

    endpoint = make_endpoint(gateway, make_server(talk))
    headers = {"authorization": f"Bearer {endpoint.primary}"}
    with gateway.client.stream(
        "POST", f"/endpoints/{endpoint.name}/invocations", headers=headers
    ) as answer:
        assert next(answer.iter_raw()) == b"first"


def test_a_huge_answer_passes_through_in_little_memory(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"content-length: %d\r\n\r\n" % (300 * MIB), *[b"x" * MIB] * 300)

    endpoint = make_endpoint(gateway, make_server(talk))
    before, most, length = gateway.memory(), 0, 0
    headers = {"authorization": f"Bearer {endpoint.primary}"}
    with gateway.client.stream(
        "POST", f"/endpoints/{endpoint.name}/invocations", headers=headers
    ) as answer:
        for part in answer.iter_raw(MIB):
            length += len(part)
            most = max(most, gateway.memory())
    assert length == 300 * MIB
    assert most - before < 30 * MIB


def test_a_reader_that_stops_holds_up_the_model_server_and_not_the_memory(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    sent = 0

    async def talk(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(HEAD + b"content-length: %d\r\n\r\n" % (300 * MIB))
        while sent < 300:
            await exchange.send(b"x" * MIB)
            sent += 1

    server = make_server(talk)
    endpoint = make_endpoint(gateway, server)
    before = gateway.memory()
    with raw_request(gateway, endpoint, 0) as client:
        assert client.recv(1000).startswith(HEAD)
        assert settled(lambda: sent) < 100
        assert gateway.memory() - before < 30 * MIB
    eventually(lambda: server.open == 0)


def test_a_reader_that_stops_for_good_is_left(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        length = 300 * MIB
        await exchange.send(HEAD + b"content-length: %d\r\n\r\n" % length, *[b"x" * MIB] * 300)

    gateway, server = make_gateway("seconds=0.3"), make_server(talk)
    endpoint = make_endpoint(gateway, server)
    before = gateway.files()
    with raw_request(gateway, endpoint, 0):
        eventually(lambda: server.requests and server.open == 0)
        eventually(lambda: gateway.files() <= before)
    assert "status=cut code=timeout" in gateway.log.read_text()


def test_a_large_request_arrives_whole(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    endpoint = make_endpoint(gateway, make_server())
    body = b"0123456789abcdef" * (2 * MIB)
    assert gateway.score(endpoint, body).content == body


def test_no_answer_waits_for_an_acknowledgement() -> None:
    """asyncio sets TCP_NODELAY on what such a socket accepts, and on no other."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
