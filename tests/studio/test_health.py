"""What is broken is named. In the tests PostgreSQL and Redis run, and nothing else of Studio."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.db import connection
from django.test import Client
from django.utils.timezone import now
from pytest_django import Settings

from endpoints.models import Agent
from studio.lib import heartbeat
from tests.support.processes import free_port

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def alone(settings: Settings, db: None) -> object:
    """No gateway of another Studio on this machine is asked, and no worker was here before."""
    settings.SCORING_ADDRESS = f"127.0.0.1:{free_port()}"
    heartbeat._client().delete("studio:worker-seen")
    yield
    heartbeat._client().delete("studio:worker-seen")
    gc.collect()  # httpcore leaves a socket that found nobody to the garbage collector, which warns


def unwell(client: Client) -> dict[str, str]:
    response = client.get("/healthz")
    told = response.json()
    assert response.status_code == (503 if told["unwell"] else 200)
    assert set(told["parts"]) == {
        "web",
        "database",
        "redis",
        "reference",
        "gateway",
        "agent",
        "worker",
    }
    assert sorted(told["unwell"]) == sorted(n for n, s in told["parts"].items() if s != "ok")
    return {name: told["parts"][name] for name in told["unwell"]}


def test_the_web_process_lives(client: Client) -> None:
    response = client.get("/livez")
    assert (response.status_code, response.content) == (200, b"ok")
    assert client.post("/livez").status_code == 405


def test_what_is_down_is_named(client: Client) -> None:
    assert unwell(client) == {
        "reference": "not answering (ConnectError)",
        "gateway": "not answering (ConnectError)",
        "agent": "no agent has been heard of for 15 s",
        "worker": "no Celery worker has been heard of for 15 s",
    }


def test_who_was_heard_of_lately_is_well(client: Client) -> None:
    heartbeat.worker_is_here()
    agent = Agent.objects.create(host="here", pid=1, seen_at=now())
    assert set(unwell(client)) == {"reference", "gateway"}
    Agent.objects.filter(pk=agent.pk).update(seen_at=now() - timedelta(seconds=16))
    assert set(unwell(client)) == {"agent", "gateway", "reference"}


def test_the_gateway_is_asked_directly_whatever_proxy_is_set(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with answering() as address:
        settings.SCORING_ADDRESS = address
        assert "gateway" not in unwell(client)


@contextmanager
def answering() -> Iterator[str]:
    """The address of something that answers 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_redis_that_is_away_is_named(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert unwell(client)["redis"] == "not answering (ConnectionError)"


def test_a_database_that_does_not_answer_is_named(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1")
        told = unwell_with_broken_transaction(client)
    assert told["database"].startswith("not answering")


def unwell_with_broken_transaction(client: Client) -> dict[str, str]:
    """Every statement of a transaction that has failed is refused."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_sleep(1)")
        except Exception:  # noqa: BLE001 - the point is that it failed
            return unwell(client)
    raise AssertionError("the statement did not time out")


def test_the_answer_holds_no_address_and_no_password(client: Client, settings: Settings) -> None:
    text = client.get("/healthz").content.decode()
    for secret in (settings.DATABASES["default"]["PASSWORD"], str(settings.HOME.root)):
        assert secret not in text


def test_what_works_but_not_as_it_should_is_told_and_makes_nothing_unwell(client: Client) -> None:
    Agent.objects.create(host="here", pid=1, seen_at=now(), warning="Models run as root.")
    Agent.objects.create(host="there", pid=1, seen_at=now() - timedelta(minutes=1), warning="Old.")
    assert client.get("/healthz").json()["warnings"] == ["Models run as root."]
    assert "agent" not in unwell(client)
