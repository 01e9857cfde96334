"""What model servers do, well and badly, and what the caller sees of it."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Iterator
from time import monotonic

import httpx
import pytest
from gateway_kit import (
    EndpointRow,
    Exchange,
    Gateway,
    MakeEndpoint,
    MakeGateway,
    MakeServer,
    echo,
    eventually,
    never,
    raw_request,
    request_head,
    settled,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def nothing_leaks(gateway: Gateway) -> Iterator[None]:
    """Whatever a test did, the gateway still lives and has given back its memory and its connections."""
    before = gateway.files()
    yield
    assert gateway.process.poll() is None, gateway.log.read_text()
    # The client of the tests keeps a few connections; a kept one to each model server ends with the server.
    eventually(lambda: gateway.files() <= before + 5)


def test_connections_are_used_again(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server()
    endpoint = make_endpoint(gateway, server)
    for _ in range(20):
        assert gateway.score(endpoint).status_code == 200
    assert server.connections == 1


def test_a_connection_that_was_closed_while_idle_is_not_used(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server()
    endpoint = make_endpoint(gateway, server)
    for _ in range(20):
        assert gateway.score(endpoint).status_code == 200
        server.drop()
    assert len(server.requests) == 20


def test_a_kept_connection_that_closes_without_an_answer_is_tried_once_more(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def only_once(exchange: Exchange) -> None:
        if exchange.count > 1:
            exchange.writer.close()
        else:
            await echo(exchange)

    server = make_server(only_once)
    endpoint = make_endpoint(gateway, server)
    for number in range(10):
        assert gateway.score(endpoint, b"%d" % number).content == b"%d" % number


def test_a_new_connection_that_closes_without_an_answer_is_not(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def hang_up(exchange: Exchange) -> None:
        exchange.writer.close()

    server = make_server(hang_up)
    endpoint = make_endpoint(gateway, server)
    answer = gateway.score(endpoint)
    assert (answer.status_code, len(server.requests)) == (502, 1)
    assert answer.json()["error"]["code"] == "bad_answer"


def test_a_kept_connection_that_breaks_off_in_an_answer_is_not_tried_again(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def break_off(exchange: Exchange) -> None:
        if exchange.count == 1:
            await echo(exchange)
            return
        await exchange.send(HEAD + b"content-length: 10\r\n\r\n12345")
        exchange.writer.close()

    server = make_server(break_off)
    endpoint = make_endpoint(gateway, server)
    assert gateway.score(endpoint).status_code == 200
    assert gateway.score(endpoint).status_code == 502
    assert len(server.requests) == 2


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


def test_a_large_request_arrives_whole(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    endpoint = make_endpoint(gateway, make_server())
    body = b"0123456789abcdef" * (2 * MIB)
    assert gateway.score(endpoint, body).content == body


def test_an_answer_that_takes_too_long_becomes_408(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway = make_gateway("seconds=0.3")
    server = make_server(never)
    endpoint = make_endpoint(gateway)
    slow = make_endpoint(gateway, server)
    began = monotonic()
    answer = gateway.score(slow)
    assert answer.status_code == 408
    assert answer.json()["error"]["code"] == "timeout"
    assert 0.3 <= monotonic() - began < 2
    eventually(lambda: server.open == 0)
    with raw_request(gateway, endpoint, 100) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_leaves_frees_the_model_server(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server(never)
    endpoint = make_endpoint(gateway, server)
    clients = [raw_request(gateway, endpoint, 2) for _ in range(10)]
    for client in clients:
        client.sendall(b"{}")
    eventually(lambda: len(server.requests) >= 10)
    for client in clients:
        client.close()
    eventually(lambda: server.open == 0)


def test_a_client_that_leaves_at_once_frees_it_too(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server(never)
    endpoint = make_endpoint(gateway, server)
    for _ in range(20):
        with raw_request(gateway, endpoint, 2) as client:
            client.sendall(b"{}")
    eventually(lambda: server.open == 0)


def test_one_dead_replica_of_two_fails_no_request(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    alive, dead = make_server(), make_server()
    endpoint = make_endpoint(gateway, alive, dead)
    eventually(
        lambda: gateway.score(endpoint).status_code == 200 and dead.requests and alive.requests
    )
    dead.stop()
    assert {gateway.score(endpoint).status_code for _ in range(100)} == {200}


def test_when_all_replicas_are_dead_the_answer_is_503(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    servers = [make_server(), make_server()]
    endpoint = make_endpoint(gateway, *servers)
    for server in servers:
        server.stop()
    answer = gateway.score(endpoint)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_replica_whose_socket_never_was_is_503(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server()
    server.address += "-elsewhere"
    assert gateway.score(make_endpoint(gateway, server)).status_code == 503


def test_replicas_share_the_work(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    servers = [make_server(), make_server()]
    endpoint = make_endpoint(gateway, *servers)
    for _ in range(60):
        assert gateway.score(endpoint).status_code == 200
    assert min(len(server.requests) for server in servers) > 10


def test_500_requests_at_once_get_each_its_own_answer(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    barrier = asyncio.Barrier(500)

    async def together(exchange: Exchange) -> None:
        await barrier.wait()
        await echo(exchange)

    endpoint = make_endpoint(gateway, make_server(together))
    for _ in range(2):  # on new connections to the model server, then on kept ones
        bodies = asyncio.run(_score_at_once(gateway, endpoint, 500))
        assert [json.loads(body)["number"] for body in bodies] == list(range(500))


def test_no_answer_waits_for_an_acknowledgement(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def in_two_parts(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await asyncio.sleep(0.001)
        await exchange.send(b"1\r\nb\r\n0\r\n\r\n")

    endpoint = make_endpoint(gateway, make_server(in_two_parts))
    taken = []
    for _ in range(30):
        began = monotonic()
        assert gateway.score(endpoint).content == b"ab"
        taken.append(monotonic() - began)
    # Without TCP_NODELAY the second part leaves when the first is acknowledged: 40 ms later.
    assert statistics.median(taken) < 0.03


async def _score_at_once(gateway: Gateway, endpoint: EndpointRow, count: int) -> list[bytes]:
    async def score(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        body = json.dumps({"number": number, "padding": "x" * (number * 37 % 5000)}).encode()
        writer.write(request_head(endpoint, len(body), f"x-request-id: r{number}") + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(HEAD)
        assert b"x-request-id: r%d\r\n" % number in head
        answer = await reader.readexactly(len(body))
        writer.close()
        await writer.wait_closed()
        return answer

    async with asyncio.timeout(30):
        return await asyncio.gather(*map(score, range(count)))
