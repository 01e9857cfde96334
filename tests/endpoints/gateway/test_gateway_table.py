"""The routing table follows the database, and outlives it."""

from __future__ import annotations

from time import monotonic

import pytest

from studio.lib.home import Home
from studio.lib.secrets import digest
from tests.endpoints.gateway.kit import (
    Database,
    EndpointRow,
    Gateway,
    MakeEndpoint,
    MakeGateway,
    Rows,
    eventually,
)
from tests.endpoints.gateway.servers import MakeServer


@pytest.fixture
def endpoint(gateway: Gateway, make_server: MakeServer, make_endpoint: MakeEndpoint) -> EndpointRow:
    return make_endpoint(gateway, make_server())


def test_a_revoked_token_is_refused_within_a_second(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    with rows.told():
        token = rows.token()
    eventually(lambda: gateway.score(endpoint, key=token).status_code == 200, 1)
    with rows.told():
        rows.revoke(token)
    eventually(lambda: gateway.score(endpoint, key=token).status_code == 401, 1)


def test_a_key_that_was_replaced_is_refused_within_a_second(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    with rows.told():
        rows.update("endpoints_endpoint", {"primary_digest": digest("new")}, id=endpoint.pk)
    eventually(lambda: gateway.score(endpoint, key=endpoint.primary).status_code == 401, 1)
    assert gateway.score(endpoint, key="new").status_code == 200
    assert gateway.score(endpoint, key=endpoint.secondary).status_code == 200


def test_a_change_of_traffic_is_used_within_a_second(
    gateway: Gateway, endpoint: EndpointRow, make_server: MakeServer, rows: Rows
) -> None:
    with rows.told():
        rows.deployment(endpoint, "green", 0, make_server().address)
    with rows.told():
        rows.update("endpoints_deployment", {"traffic": 0}, endpoint_id=endpoint.pk, name="blue")
        rows.update("endpoints_deployment", {"traffic": 100}, endpoint_id=endpoint.pk, name="green")
    eventually(lambda: gateway.score(endpoint).headers["studio-deployment"] == "green", 1)
    assert {gateway.score(endpoint).headers["studio-deployment"] for _ in range(50)} == {"green"}


def test_the_last_of_many_changes_counts(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    for number in range(300):
        with rows.told():
            rows.update(
                "endpoints_endpoint", {"primary_digest": digest(f"key-{number}")}, id=endpoint.pk
            )
    eventually(lambda: gateway.score(endpoint, key="key-299").status_code == 200, 1)


def test_a_change_that_nobody_told_is_found_by_reading_again(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    rows.update("endpoints_endpoint", {"primary_digest": digest("new")}, id=endpoint.pk)
    eventually(lambda: gateway.score(endpoint, key="new").status_code == 200, 7)


def test_it_scores_while_the_database_hangs(
    gateway: Gateway, endpoint: EndpointRow, database: Database, rows: Rows
) -> None:
    with rows.told():  # so that it hangs in the middle of a reading, perhaps
        rows.token()
    with database.frozen():
        _scores_throughout(gateway, endpoint, seconds=3)
    with rows.told():
        token = rows.token()
    eventually(lambda: gateway.score(endpoint, key=token).status_code == 200, 3)


def test_it_scores_while_the_database_is_gone_and_follows_it_again(
    gateway: Gateway, endpoint: EndpointRow, database: Database, rows: Rows
) -> None:
    lines = gateway.log.read_text().count("database=lost")
    database.stop()
    _scores_throughout(gateway, endpoint, seconds=3)
    health = gateway.client.get("/healthz")
    assert (health.status_code, health.json()["routes"]["database"]) == (200, "lost")
    assert gateway.log.read_text().count("database=lost") == lines + 1
    database.start()
    rows.connect(database.url)
    with rows.told():
        rows.update("endpoints_endpoint", {"primary_digest": digest("new")}, id=endpoint.pk)
    eventually(lambda: gateway.score(endpoint, key="new").status_code == 200, 3)
    assert gateway.client.get("/healthz").json()["routes"]["database"] == "ok"
    assert "database=back" in gateway.log.read_text()


def test_started_without_a_database_it_waits_for_it(
    home: Home, database: Database, make_gateway: MakeGateway, endpoint: EndpointRow
) -> None:
    database.stop()
    gateway = make_gateway(wait=False)
    try:
        eventually(lambda: gateway.answers("/livez", 200), 20)
        assert gateway.client.get("/healthz").status_code == 503
        answer = gateway.score(endpoint)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    finally:
        database.start()
    eventually(lambda: gateway.answers("/healthz", 200), 5)
    assert gateway.score(endpoint).status_code == 200


def test_it_can_be_ended_while_the_database_hangs(
    database: Database, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway()
    with database.frozen():
        # It reads again every 5 s: older than that, a reading hangs.
        eventually(lambda: gateway.client.get("/healthz").json()["routes"]["age_seconds"] > 5.5, 7)
        gateway.process.terminate()
        assert gateway.process.wait(3) == 0


def _scores_throughout(gateway: Gateway, endpoint: EndpointRow, seconds: float) -> None:
    deadline, slowest = monotonic() + seconds, 0.0
    while (began := monotonic()) < deadline:
        assert gateway.score(endpoint).status_code == 200
        slowest = max(slowest, monotonic() - began)
    assert slowest < 1


def test_of_a_stopped_deployment_its_replicas_answer_to_their_end_and_then_it_is_said_so(
    gateway: Gateway, endpoint: EndpointRow, rows: Rows
) -> None:
    with rows.told():
        rows.update("endpoints_deployment", {"wanted": "stopped"}, endpoint_id=endpoint.pk)
    assert gateway.score(endpoint).status_code == 200
    with rows.told():
        rows.connection.execute(
            "UPDATE endpoints_replica SET wanted = false WHERE deployment_id IN "
            "(SELECT id FROM endpoints_deployment WHERE endpoint_id = %s)",
            [endpoint.pk],
        )
    eventually(lambda: gateway.score(endpoint).status_code == 503, 1)
    told = gateway.score(endpoint).json()["error"]["message"]
    assert told == (
        "The deployment 'blue' of this endpoint is stopped: it can be started on its page in Studio."
    )
