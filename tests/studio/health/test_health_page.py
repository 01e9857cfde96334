"""The administrators' page of health, the same for programs, and who gets neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from endpoints.models import Deployment, State
from studio.accounts.models import AccessToken, User
from studio.celery import app
from studio.health import broker, checks, tidying
from studio.health.models import Failure, Measure, Process, Window
from studio.health.windows import Windows
from studio.lib.database import embedded_url
from studio.lib.heartbeat import KEPT
from tests.support.serving import make_deployment

PAGE, API, METRICS = "/administration/health/", "/api/v1/health", "/metrics"
TOKEN = "only-prometheus-knows-it"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked: that is tested elsewhere."""
    told = ({"web": "ok", "gateway": "ok"}, ["Models run as root."], "")
    monkeypatch.setattr(checks, "look", lambda: (told[0], list(told[1]), told[2]))


def process(name: str, host: str = "one", ago: float = 0, **more: Any) -> Process:
    seen = now() - timedelta(seconds=ago)
    given = {"pid": 7, "version": "0.1.0", "started_at": seen, "memory": 1 << 20} | more
    return Process.objects.create(name=name, host=host, seen_at=seen, **given)


@pytest.fixture
def there(one_window: None) -> None:
    """Something in each part of the page."""
    for pid in (11, 12):
        process("web", pid=pid)
    for name in ("reference", "gateway", "agent", "worker", "beat"):
        process(name)
    process("worker", "two", ago=3600)
    windows = Windows()
    windows.note("GET experiments/", 1.25)
    windows.note("GET healthz", 9.0)
    [(_, routes)] = windows.news().items()
    Window.objects.create(process=1, at=now(), routes=routes)
    Window.objects.create(
        process=2, at=now() - timedelta(hours=2), routes={"GET old": routes["GET healthz"]}
    )
    where = "api/2.0/mlflow/runs/create"
    Failure.objects.create(
        at=now(), process="web", host="one", route=where, kind="KeyError", request_id="find-me"
    )
    Measure.objects.create(name="artifacts", value=3 << 30, at=now())


@pytest.fixture
def api(alice: User) -> Client:
    _, token = AccessToken.issue(user=alice, label="test")
    return Client(headers={"Authorization": f"Bearer {token}"})


@pytest.mark.usefixtures("there")
def test_one_glance_tells_what_needs_a_look(as_alice: Client) -> None:
    page = as_alice.get(PAGE).content.decode()
    for told in (
        "some things need a look", "Models run as root.", "worker on two", "3.0\xa0GB",
        "experiments/", "1.2 s", "KeyError", "find-me", "api/2.0/mlflow/runs/create",
        "Not heard of", "PostgreSQL", "auth_permission",
    ):  # fmt: skip
        assert told in page, told
    for left_out in ("healthz", "GET old"):
        assert left_out not in page


def test_where_nothing_has_spoken_yet_the_page_says_so(as_alice: Client) -> None:
    page = as_alice.get(PAGE).content.decode()
    assert "Something is broken" in page
    assert "No process has said anything yet" in page
    assert "No process has logged an error." in page


@pytest.mark.usefixtures("there")
def test_the_part_that_asks_for_itself_is_all_but_the_frame(as_alice: Client) -> None:
    part = as_alice.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert 'id="health"' in part
    assert "<html" not in part


@pytest.mark.usefixtures("there")
def test_programs_are_told_the_same(api: Client) -> None:
    told = api.get(API).json()
    assert (told["status"], told["parts"]) == ("warning", {"web": "ok", "gateway": "ok"})
    running = {(one["name"], one["host"]): one["alive"] for one in told["processes"]}
    assert running["web", "one"] is True
    assert running["worker", "two"] is False
    assert [one["pid"] for one in told["processes"] if one["name"] == "web"] == [11, 12]
    assert told["slowest"][0]["route"] == "GET experiments/"
    assert told["slowest"][0]["max_seconds"] == 1.25
    assert told["failures"][0]["request_id"] == "find-me"
    assert {"name", "bytes"} == set(told["database"]["tables"][0])
    assert told["queues"][0]["name"] == "celery"
    assert told["schema"]["backlog"] == []


@pytest.mark.usefixtures("there")
def test_how_often_a_process_was_started_again_is_told(api: Client) -> None:
    process("beat", ago=60, pid=3)
    process("beat", ago=90, pid=4)
    process("gateway", ago=60, run="an-earlier-up")
    process("up", ago=60, run="an-earlier-up")
    told = {(one["name"], one["host"]): one["restarts"] for one in api.get(API).json()["processes"]}
    assert told["beat", "one"] == 2
    assert told["gateway", "one"] == 0


def test_leases_that_ran_out_and_deployments_in_work_are_counted(api: Client, alice: User) -> None:
    made = make_deployment(alice, state=State.BUILDING)
    Deployment.objects.filter(pk=made.pk).update(
        lease_holder="gone:1", lease_until=now() - timedelta(minutes=1)
    )
    told = api.get(API).json()["deployments"]
    assert told == {"by_state": {"building": 1}, "in_work": 1, "lapsed_leases": 1}


@pytest.mark.usefixtures("there")
def test_the_number_of_statements_does_not_grow(as_alice: Client) -> None:
    as_alice.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        as_alice.get(PAGE)
    for number in range(30):
        process("web", f"host-{number}")
        Failure.objects.create(at=now(), process="web", host="one", route="a", kind="b")
    with CaptureQueriesContext(connection) as many:
        as_alice.get(PAGE)
    assert len(few) == len(many) < 20


@pytest.mark.parametrize("path", [PAGE, API])
def test_to_everybody_else_there_is_no_such_page(client: Client, as_bob: Client, path: str) -> None:
    assert as_bob.get(path).status_code == 404
    assert client.get(path).status_code in (302, 401)


@pytest.fixture
def metrics(settings: Settings) -> Iterator[None]:
    settings.METRICS_TOKEN = TOKEN
    given = {name: str(value) for name, value in connection.settings_dict.items()}
    settings.DATABASE_URL = embedded_url(
        Path(given["HOST"]), given["USER"], given["PASSWORD"], given["NAME"]
    )
    yield


def ask(client: Client, header: str) -> Any:
    return client.get(METRICS, headers={"Authorization": header} if header else {})


def test_without_a_token_in_the_settings_there_are_no_metrics(
    client: Client, as_alice: Client, settings: Settings
) -> None:
    settings.METRICS_TOKEN = ""
    for header in ("", "Bearer ", f"Bearer {TOKEN}"):
        assert ask(client, header).status_code == 404
    assert as_alice.get(METRICS).status_code == 404


@pytest.mark.usefixtures("metrics")
def test_only_the_token_opens_them(client: Client, as_alice: Client, api: Client) -> None:
    for header in ("", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer ä"):
        refused = ask(client, header)
        assert (refused.status_code, "studio_" in refused.content.decode()) == (401, False)
    assert as_alice.get(METRICS).status_code == 401
    assert api.get(METRICS).status_code == 401
    assert client.post(METRICS, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405
    assert ask(client, f"Bearer {TOKEN}").status_code == 200


def samples(client: Client) -> dict[str, float]:
    text = ask(client, f"Bearer {TOKEN}").content.decode()
    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("studio_") and family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)
    return {
        f"{one.name}{sorted(one.labels.items())}": one.value for f in families for one in f.samples
    }


@pytest.mark.usefixtures("metrics")
def test_requests_count_by_route_and_never_by_address(client: Client, as_alice: Client) -> None:
    before = samples(client)
    for name in ("one", "two"):
        as_alice.get(f"/endpoints/{name}/?secret=yes")
    after = samples(client)
    key = "studio_http_requests_total[('method', 'GET'), ('route', 'endpoints/<str:name>/'), ('status', '4xx')]"
    assert after[key] - before.get(key, 0) == 2
    assert not [line for line in after if "secret" in line or "two" in line]
    assert after["studio_http_request_seconds_count[('route', 'endpoints/<str:name>/')]"] >= 2
    assert after["studio_http_requests_in_flight[]"] == 1


@pytest.mark.usefixtures("metrics")
def test_what_is_away_is_told_as_away_and_the_rest_as_ever(
    client: Client, settings: Settings
) -> None:
    assert samples(client)["studio_database_up[]"] == 1
    settings.DATABASE_URL = "postgresql://nobody@/nothing?host=/nowhere"
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    told = samples(client)
    assert (told["studio_database_up[]"], told["studio_redis_up[]"]) == (0, 0)
    assert "studio_http_requests_in_flight[]" in told
    assert not [name for name in told if name.startswith("studio_queue")]


@pytest.fixture
def messages(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete("celery")
        yield client
        client.delete("celery")


def test_a_queue_tells_how_much_waits_and_how_long_the_oldest_has(messages: redis.Redis) -> None:
    for _ in range(3):
        app.send_task("studio.health.tasks.look_after")
    found = broker.ask()
    assert found is not None
    assert (found.waiting, found.oldest is not None and found.oldest < 30) == (3, True)
    oldest = json.loads(messages.lindex("celery", -1) or b"{}")
    oldest["headers"]["studio_sent"] -= 100
    messages.rpush("celery", json.dumps(oldest))
    found = broker.ask()
    assert found is not None
    assert (found.waiting, round((found.oldest or 0) / 100)) == (4, 1)
    messages.rpush("celery", b"nobody's")
    found = broker.ask()
    assert found is not None
    assert (found.waiting, found.oldest) == (5, None)


def test_old_rows_go(db: None) -> None:
    process("web", ago=25 * 3600)
    kept = process("web", ago=3600)
    for hours in (1, 3):
        Window.objects.create(process=1, at=now() - timedelta(hours=hours), routes={})
    tidying.forget_old()
    assert list(Process.objects.all()) == [kept]
    assert Window.objects.count() == 1


def test_folders_are_measured_at_most_each_hour(settings: Settings, tmp_path: Path) -> None:
    settings.ARTIFACTS = tmp_path / "artifacts"
    (settings.ARTIFACTS / "1").mkdir(parents=True)
    (settings.ARTIFACTS / "1" / "a").write_bytes(b"x" * 1_000_000)
    (settings.ARTIFACTS / "b").hardlink_to(settings.ARTIFACTS / "1" / "a")
    tidying.measure()
    first = Measure.objects.get(name="artifacts")
    assert 1_000_000 <= first.value < 1_100_000
    (settings.ARTIFACTS / "c").write_bytes(b"x" * 1_000_000)
    tidying.measure()
    assert Measure.objects.get(name="artifacts") == first
    assert Measure.objects.get(name="artifacts").value == first.value
    Measure.objects.update(at=now() - timedelta(minutes=61))
    tidying.measure()
    assert Measure.objects.get(name="artifacts").value >= 2_000_000


def test_an_object_store_is_not_measured(settings: Settings) -> None:
    settings.ARTIFACTS = "s3://bucket/prefix"
    tidying.measure()
    assert [measure.name for measure in Measure.objects.all()] == ["environments"]


def test_the_heartbeat_keeps_as_many_errors_as_the_model_says() -> None:
    assert KEPT == Failure.KEPT
