"""Model servers that come and go, hang or die, and callers that leave."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from time import monotonic

import pytest

from tests.endpoints.gateway.kit import (
    EndpointRow,
    Gateway,
    MakeEndpoint,
    MakeGateway,
    Rows,
    eventually,
    raw_request,
    request_head,
)
from tests.endpoints.gateway.servers import Exchange, MakeServer, echo, never

HEAD = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024


pytestmark = pytest.mark.usefixtures("nothing_leaks")


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


def test_a_socket_that_leads_to_another_process_is_as_if_nobody_listened(
    gateway: Gateway, make_server: MakeServer, rows: Rows, tmp_path: Path
) -> None:
    """A model has put a link to another's socket in the place of its own."""
    other, link = make_server(), tmp_path / "s"
    link.symlink_to(other.address)
    with rows.told():
        endpoint = rows.endpoint()
        rows.deployment(endpoint, "blue", 100, str(link))
        rows.update("endpoints_replica", {"pid": os.getppid()}, address=str(link))
    eventually(lambda: gateway.knows(endpoint))
    assert gateway.score(endpoint).status_code == 503
    assert other.requests == []
    with rows.told():
        rows.update("endpoints_replica", {"pid": os.getpid()}, address=str(link))
    eventually(lambda: gateway.score(endpoint).status_code == 200)


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
