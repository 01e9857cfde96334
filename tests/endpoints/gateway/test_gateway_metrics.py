"""What the gateway counts of predictions, and who may read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from endpoints.gateway.counting import Counting
from endpoints.gateway.reply import Reply
from tests.endpoints.gateway.kit import EndpointRow, Gateway, MakeEndpoint, MakeGateway
from tests.endpoints.gateway.servers import Exchange, MakeServer

TOKEN = "only-prometheus-may-ask-with-it"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, make_gateway: MakeGateway) -> Iterator[Gateway]:
    """A gateway with a token for its metrics."""
    monkeypatch.setitem(os.environ, "STUDIO_METRICS_TOKEN", TOKEN)
    yield make_gateway()


def samples(gateway: Gateway) -> dict[str, float]:
    answer = gateway.client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    assert all(one.name.startswith("studio_gateway") and one.documentation for one in families)
    return {f"{s.name}{sorted(s.labels.items())}": s.value for f in families for s in f.samples}


def test_predictions_count_by_deployment_and_what_is_refused_by_its_status(
    told: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(b"{}", "422 Unprocessable" if exchange.body == b"bad" else "200 OK")

    endpoint = make_endpoint(told, make_server(refuse))
    for body in (b"good", b"good", b"bad"):
        told.client.post(
            f"/endpoints/{endpoint.name}/invocations",
            content=body,
            headers={"authorization": f"Bearer {endpoint.primary}"},
        )
    refused = "studio_gateway_refused_total[('status', '401')]"
    before = samples(told).get(refused, 0)
    for _ in range(2):
        told.score(endpoint, key="wrong")
    now = samples(told)
    of = f"('deployment', 'blue'), ('endpoint', '{endpoint.name}')"
    count = "studio_gateway_requests_total"
    assert now[f"{count}[{of}, ('status', '2xx')]"] == 2
    assert now[f"{count}[{of}, ('status', '4xx')]"] == 1
    assert now[f"studio_gateway_request_seconds_count[{of}]"] == 3
    assert now[f"studio_gateway_in_flight[('endpoint', '{endpoint.name}')]"] == 0
    assert now[refused] == before + 2
    assert now["studio_gateway_database_up[]"] == 1


def test_what_has_no_replica_counts_as_an_error_of_its_endpoint(
    told: Gateway, make_endpoint: MakeEndpoint
) -> None:
    endpoint: EndpointRow = make_endpoint(told)
    status = told.score(endpoint).status_code
    of = f"('deployment', 'blue'), ('endpoint', '{endpoint.name}'), ('status', '{status // 100}xx')"
    assert samples(told)[f"studio_gateway_requests_total[{of}]"] >= 1


def test_only_the_token_opens_them(told: Gateway, make_endpoint: MakeEndpoint) -> None:
    endpoint = make_endpoint(told)
    for header in ("", TOKEN, f"Bearer {TOKEN}x", f"Bearer {endpoint.primary}"):
        refused = told.client.get("/metrics", headers={"authorization": header})
        assert (refused.status_code, "studio_" in refused.text) == (401, False)
        assert refused.headers["www-authenticate"] == "Bearer"
    posted = told.client.post("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert posted.status_code == 405


def test_without_a_token_in_the_settings_there_is_nothing_at_this_address(gateway: Gateway) -> None:
    for header in ("", "Bearer", f"Bearer {TOKEN}"):
        answer = gateway.client.get("/metrics", headers={"authorization": header})
        assert answer.status_code == 404
        assert answer.json() == gateway.client.get("/nowhere").json()


def test_counting_costs_a_prediction_less_than_a_hundredth_of_a_millisecond() -> None:
    async def send(_: object) -> None:
        """Nobody listens."""

    counting = Counting("")
    reply = Reply(send, "id")
    reply.endpoint, reply.deployment, reply.status = "iris", "blue", 200
    took = []
    for _ in range(20):
        began = perf_counter()
        for _ in range(100):
            counting.begin("iris")
            counting.end("iris")
            counting.answered(reply, 0.0007)
        took.append((perf_counter() - began) / 100)
    assert min(took) < 0.00001
    assert counting.in_flight == {"iris": 0}
