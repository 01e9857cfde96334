"""What is broken is named. In the tests PostgreSQL and Redis run, and nothing else of Studio."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from time import monotonic

import pytest
from django.test import Client
from django.utils.timezone import now
from pytest_django import Settings

from endpoints.models import Agent
from studio.health.models import Process
from studio.lib import artifacts, heartbeat
from tests.support.processes import free_port

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def alone(settings: Settings, db: None) -> object:
    """No gateway of another Studio on this machine is asked, and no worker was here before."""
    settings.SCORING_ADDRESS = f"127.0.0.1:{free_port()}"
    artifacts.make()
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
    told = unwell(client)
    assert told["redis"] == "not answering (ConnectionError)"
    assert told["worker"] == "not known while Redis is away"


@pytest.mark.parametrize("frozen", [False, True])
def test_a_database_that_does_not_answer_is_named_and_not_waited_for(
    client: Client, settings: Settings, frozen: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and says nothing
        port = listener.getsockname()[1]
        if not frozen:
            listener.close()
        settings.DATABASE_URL = f"postgresql://studio@127.0.0.1:{port}/studio"
        began = monotonic()
        told = unwell(client)
        assert monotonic() - began < 20  # of the frozen one nothing would ever come
    assert told["database"].startswith("not answering")
    assert told["agent"] == told["gateway"] == "not known while the database is away"


def test_the_answer_holds_no_address_and_no_password(client: Client, settings: Settings) -> None:
    text = client.get("/healthz").content.decode()
    for secret in (settings.DATABASES["default"]["PASSWORD"], str(settings.HOME.root)):
        assert secret not in text


def test_an_artifact_store_that_is_away_is_told_without_its_address(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "trouble", lambda: "There is no folder /unplugged.")
    told = client.get("/healthz")
    assert "unplugged" not in told.content.decode()
    assert "artifact store" in told.json()["warnings"][0]


def test_a_gateway_of_another_host_is_heard_of(client: Client) -> None:
    assert "gateway" in unwell(client)
    row = Process(name="gateway", host="elsewhere", pid=1, version="1", started_at=now())
    row.seen_at = now()
    row.save()
    assert "gateway" not in unwell(client)
    Process.objects.update(seen_at=now() - timedelta(seconds=16))
    assert "gateway" in unwell(client)


def test_what_works_but_not_as_it_should_is_told_and_makes_nothing_unwell(client: Client) -> None:
    Agent.objects.create(host="here", pid=1, seen_at=now(), warning="Models run as root.")
    Agent.objects.create(host="there", pid=1, seen_at=now() - timedelta(minutes=1), warning="Old.")
    assert client.get("/healthz").json()["warnings"] == ["Models run as root."]
    assert "agent" not in unwell(client)
