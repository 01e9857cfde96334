"""What a caller sends and gets: keys, tokens, addresses, headers, sizes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.gateway.kit import (
    EndpointRow,
    Gateway,
    MakeEndpoint,
    MakeGateway,
    Rows,
    eventually,
    raw_request,
)
from tests.endpoints.gateway.servers import Exchange, MakeServer, never


@pytest.fixture
def endpoint(gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint) -> EndpointRow:
    return make_endpoint(gateway, make_server())


def test_a_key_scores_and_the_answer_says_which_deployment_gave_it(
    gateway: Gateway, endpoint: EndpointRow
) -> None:
    answer = gateway.score(endpoint, b'{"inputs": [1]}')
    assert (answer.status_code, answer.content) == (200, b'{"inputs": [1]}')
    assert answer.headers["studio-deployment"] == "blue"
    assert answer.headers["content-type"] == "application/json"


def test_the_secondary_key_scores_too(gateway: Gateway, endpoint: EndpointRow) -> None:
    assert gateway.score(endpoint, key=endpoint.secondary).status_code == 200


def test_the_scheme_is_written_in_any_case(gateway: Gateway, endpoint: EndpointRow) -> None:
    assert gateway.score(endpoint, authorization=f"bearer  {endpoint.primary}").status_code == 200


def test_a_token_of_an_administrator_scores(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    with rows.told():
        token = rows.token()
    eventually(lambda: gateway.score(endpoint, key=token).status_code == 200, 1)


@pytest.mark.parametrize("who", [{"active": False}, {"administrator": False}])
def test_a_token_of_another_does_not(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows, who: dict[str, bool]
) -> None:
    with rows.told():
        token, administrators = rows.token(**who), rows.token()
    eventually(lambda: gateway.score(endpoint, key=administrators).status_code == 200, 1)
    assert gateway.score(endpoint, key=token).status_code == 401
    assert "status=401 code=unauthorized endpoint=" in gateway.log.read_text()
    assert token not in gateway.log.read_text()


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer \xe9", "wrong"],
)
def test_who_has_no_right_learns_nothing_of_what_exists(
    gateway: Gateway, endpoint: EndpointRow, authorization: str
) -> None:
    seen = []
    for name in (endpoint.name, "unknown"):
        answer = gateway.client.post(
            f"/endpoints/{name}/invocations",
            headers=[
                (b"authorization", authorization.encode("latin-1")),
                (b"x-request-id", b"same"),
            ],
        )
        seen.append(
            (
                answer.status_code,
                answer.content,
                sorted(set(answer.headers.items()) - {_date(answer)}),
            )
        )
    assert seen[0] == seen[1]
    assert seen[0][0] == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthorized"


def test_a_key_of_another_endpoint_is_refused(
    gateway: Gateway, endpoint: EndpointRow, make_endpoint: MakeEndpoint
) -> None:
    other = make_endpoint(gateway)
    assert gateway.score(endpoint, key=other.primary).status_code == 401


def test_who_has_a_token_is_told_that_the_endpoint_does_not_exist(
    gateway: Gateway, rows: Rows
) -> None:
    with rows.told():
        token = rows.token()
    answer = eventually(lambda: _unless(401, gateway.score("nothing-here", key=token)))
    assert answer.status_code == 404
    assert "nothing-here" in answer.json()["error"]["message"]


def test_without_traffic_the_answer_is_404(
    gateway: Gateway, make_server: MakeServer, rows: Rows
) -> None:
    with rows.told():
        endpoint = rows.endpoint()
        rows.deployment(endpoint, "blue", 0, make_server().address)
    answer = eventually(lambda: _unless(401, gateway.score(endpoint)))
    assert answer.status_code == 404
    assert "No deployment takes traffic" in answer.json()["error"]["message"]


def test_where_the_only_deployment_has_failed_its_page_is_pointed_to(
    gateway: Gateway, rows: Rows
) -> None:
    with rows.told():
        endpoint = rows.endpoint()
        rows.deployment(endpoint, "blue", 0)
    answer = eventually(lambda: _unless(401, gateway.score(endpoint)))
    assert answer.status_code == 404
    told = answer.json()["error"]["message"]
    assert told.endswith("is live: its page in Studio says why.")


def test_without_a_ready_replica_the_answer_is_503(
    gateway: Gateway, make_endpoint: MakeEndpoint
) -> None:
    answer = gateway.score(make_endpoint(gateway))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "unavailable"


def test_a_deployment_that_is_being_deleted_answers_no_more(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    with rows.told():
        rows.update("endpoints_deployment", {"wanted": "gone"}, endpoint_id=endpoint.pk)
    eventually(lambda: gateway.score(endpoint).status_code == 404, 1)


@pytest.mark.parametrize(
    "change", [{"state": "starting"}, {"state": "unready"}, {"wanted": False}, {"address": ""}]
)
def test_only_ready_and_wanted_replicas_are_asked(
    gateway: Gateway, make_server: MakeServer, rows: Rows, change: dict[str, object]
) -> None:
    with rows.told():
        endpoint = rows.endpoint()
        deployment = rows.deployment(endpoint, "blue", 100, make_server().address)
    eventually(lambda: gateway.score(endpoint).status_code == 200, 1)
    with rows.told():
        rows.update("endpoints_replica", change, deployment_id=deployment)
    eventually(lambda: gateway.score(endpoint).status_code == 503, 1)


def test_the_model_servers_own_errors_pass_through(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(b'{"error_code": "BAD_REQUEST"}', "400 Bad Request", "x-model: iris")

    answer = gateway.score(make_endpoint(gateway, make_server(refuse)))
    assert (answer.status_code, answer.content) == (400, b'{"error_code": "BAD_REQUEST"}')
    assert answer.headers["x-model"] == "iris"


def test_the_model_server_gets_what_it_needs_and_no_secret(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    server = make_server()
    endpoint = make_endpoint(gateway, server)
    gateway.score(
        endpoint,
        b"a,b\n1,2",
        content_type="text/csv",
        accept="text/plain",
        x_request_id="my-id_1",
        cookie="a=b",
    )
    [exchange] = server.requests
    assert exchange.head.startswith(b"POST /invocations HTTP/1.1\r\n")
    assert exchange.body == b"a,b\n1,2"
    wanted = {"content-type": "text/csv", "accept": "text/plain", "x-request-id": "my-id_1"}
    assert exchange.headers == wanted | {"content-length": "7", "host": "replica"}


def test_headers_of_one_connection_and_cookies_are_not_passed_on(
    gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def talk(exchange: Exchange) -> None:
        headers = [
            "Connection: keep-alive, x-private",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "Set-Cookie: studio_session_8000=stolen",
        ]
        await exchange.answer(
            b"{}", "200 OK", *headers, "X-Request-Id: forged", "Studio-Deployment: forged"
        )

    answer = gateway.score(make_endpoint(gateway, make_server(talk)), x_request_id="mine")
    assert not {"x-private", "keep-alive", "set-cookie"} & set(answer.headers)
    assert answer.headers.get_list("x-request-id") == ["mine"]
    assert answer.headers.get_list("studio-deployment") == ["blue"]


@pytest.mark.parametrize("given", ["", "two words", "a" * 65, "semi;colon", "new\tline"])
def test_a_request_id_that_could_do_harm_is_replaced(
    gateway: Gateway, endpoint: EndpointRow, given: str
) -> None:
    made = gateway.score(endpoint, x_request_id=given).headers["x-request-id"]
    assert made != given
    assert made.isalnum()
    assert len(made) == 32


def test_errors_carry_the_request_id_too(gateway: Gateway) -> None:
    assert (
        gateway.score("unknown", key="wrong", x_request_id="mine").headers["x-request-id"] == "mine"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/endpoints",
        "/endpoints/a",
        "/endpoints//invocations",
        "/endpoints/a/invocations/",
        "/endpoints/a/b/invocations",
        "/invocations",
    ],
)
def test_other_addresses_are_not_found(gateway: Gateway, path: str) -> None:
    answer = gateway.client.post(path)
    assert answer.status_code == 404
    assert "/endpoints/NAME/invocations" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/endpoints/iris/invocations", "POST"),
        ("OPTIONS", "/endpoints/iris/invocations", "POST"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
def test_other_methods_are_refused(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    answer = gateway.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_body_that_is_too_large_is_refused(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway = make_gateway("body=100_000")
    endpoint = make_endpoint(gateway, make_server())
    assert gateway.score(endpoint, b"x" * 100_000).status_code == 200
    assert gateway.score(endpoint, b"x" * 100_001).status_code == 413
    assert gateway.score(endpoint, _pieces(b"x" * 50_000, 2)).status_code == 200
    answer = gateway.score(endpoint, _pieces(b"x" * 50_000, 3))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_too_many_large_bodies_at_once_are_refused_until_there_is_room(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway = make_gateway("bodies=100_000")
    server = make_server(never)
    waiting, endpoint = make_endpoint(gateway, server), make_endpoint(gateway, make_server())
    with raw_request(gateway, waiting, 60_000) as slow:
        slow.sendall(b"x" * 60_000)
        eventually(lambda: server.requests)
        assert gateway.score(endpoint, b"x" * 60_000).status_code == 503
        assert gateway.score(endpoint, b"x" * 40_000).status_code == 200
    eventually(lambda: gateway.score(endpoint, b"x" * 60_000).status_code == 200)


def test_half_a_body_is_not_held_when_its_sender_has_left(
    make_gateway: MakeGateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    gateway = make_gateway("bodies=100_000")
    endpoint = make_endpoint(gateway, make_server())
    for _ in range(5):
        with raw_request(gateway, endpoint, 100_000) as slow:
            slow.sendall(b"x" * 60_000)
    eventually(lambda: gateway.score(endpoint, b"x" * 60_000).status_code == 200)


def test_a_caller_that_asks_first_is_told_to_go_on_only_when_it_may(
    gateway: Gateway, endpoint: EndpointRow
) -> None:
    with raw_request(gateway, endpoint, 5, "expect: 100-continue") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        client.sendall(b"12345")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    with raw_request(gateway, endpoint, 100 * 1024 * 1024, "expect: 100-continue") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def _pieces(piece: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield piece


def _unless(status: int, answer: httpx.Response) -> httpx.Response | None:
    return None if answer.status_code == status else answer


def _date(answer: httpx.Response) -> tuple[str, str]:
    return "date", answer.headers["date"]
