"""A PostgreSQL and a Redis of the administrator's own, with TLS and passwords: used by all, lost, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import httpx
import psycopg
import pytest

from studio.lib.redis import celery_url
from tests.support.live import Studio, studio
from tests.support.outage import Outcome, Writer, is_well, pids, survive, tasks_done
from tests.support.own_servers import PASSWORD, OwnServers, own_servers
from tests.support.processes import until
from tests.support.training import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of other libraries
_AWAY = 4.0  # seconds; a minute in `make bench`


class Own(NamedTuple):
    studio: Studio
    servers: OwnServers
    token: str


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    with own_servers() as servers, studio(seconds=120, more=servers.settings) as running:
        yield Own(running, servers, running.token())


@pytest.fixture(scope="module")
def outage(own: Own) -> tuple[Outcome, Writer]:
    """Both servers were killed under load, and started again."""
    writer = Writer(own.studio, own.token)
    with writer.writing():
        outcome = survive(own.studio, own.servers, writer, _AWAY)
    return outcome, writer


def test_every_part_is_well_on_servers_that_take_nothing_but_tls(own: Own) -> None:
    assert is_well(own.studio)
    with psycopg.connect(own.servers.postgres.url("studio", "postgres")) as connection:
        told = connection.execute(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE usename = 'studio' GROUP BY ssl"
        ).fetchall()
        [(version,)] = connection.execute("SHOW server_version_num").fetchall()
    [(ssl, connections)] = told
    # reference, web, gateway, agent, and the pools of whoever has asked something by now
    assert (ssl, connections >= 4) == (True, True)
    assert int(version) // 10000 >= 15, "the oldest that Studio promises to work with"


def test_no_process_is_started_for_what_the_administrator_brings(own: Own) -> None:
    assert pids(own.studio).keys() == {"reference", "web", "gateway", "agent", "worker", "beat"}
    assert not (own.studio.home / "postgres").exists()
    assert not (own.studio.home / "redis").exists()


def test_status_and_log_tell_where_they_are_without_their_passwords(own: Own) -> None:
    told = own.studio.manage("status")
    postgres, redis = own.servers.postgres, own.servers.redis
    assert f"postgresql://studio@127.0.0.1:{postgres.port}/studio" in told
    assert f"rediss://127.0.0.1:{redis.port}/0" in told
    for secret in (PASSWORD, postgres.url().split(":")[2].split("@")[0]):
        assert secret not in told
        assert secret not in own.studio.log()


def test_what_a_client_logs_is_in_that_database(own: Own) -> None:
    with client_of(own.studio.url, own.token) as client:
        run = client.create_run("0")
        client.log_batch(run.info.run_id, metrics=[], params=[], tags=[])
        client.log_metric(run.info.run_id, "loss", 0.5)
        client.log_param(run.info.run_id, "depth", 4)
    with psycopg.connect(own.servers.postgres.url()) as connection:
        found = connection.execute(
            "SELECT value FROM metrics WHERE run_uuid = %s", [run.info.run_id]
        ).fetchall()
    assert found == [(0.5,)]


def test_tasks_run_by_that_redis(own: Own) -> None:
    until(lambda: tasks_done(own.servers), "the worker has done what beat sends")


def test_the_gateway_knows_a_key_that_was_made(own: Own) -> None:
    assert _gateway_learns(own, "before-it")


def test_servers_that_vanish_under_load_are_found_again_without_a_restart(
    own: Own, outage: tuple[Outcome, Writer]
) -> None:
    outcome, _ = outage
    before, after = outcome.pids
    assert before == after
    assert {"database", "redis"} <= outcome.told
    assert outcome.seconds_to_write < 30
    assert outcome.seconds_to_well < 30
    assert is_well(own.studio)


def test_no_acknowledged_write_is_lost(outage: tuple[Outcome, Writer]) -> None:
    _, writer = outage
    assert writer.acknowledged - writer.kept() == set()
    assert len(writer.acknowledged) > 40


def test_meanwhile_a_writer_is_told_soon_that_it_may_try_again(
    outage: tuple[Outcome, Writer],
) -> None:
    _, writer = outage
    assert writer.refused.keys() == {503}, "MLflow's clients repeat a request that is answered so"
    assert writer.longest < 20


def test_afterwards_tasks_run_and_the_gateway_learns_of_keys(
    own: Own, outage: tuple[Outcome, Writer]
) -> None:
    done = tasks_done(own.servers)
    assert _gateway_learns(own, "after-it")
    until(lambda: tasks_done(own.servers) > done, "the worker goes on with what beat sends", 40)


def test_celery_checks_the_certificate_also_where_nothing_says_so() -> None:
    """kombu does not, unless it is told."""
    assert celery_url("rediss://:p%40@h:6380/2") == (
        "rediss://:p%40@h:6380/2?ssl_cert_reqs=required"
    )


def _gateway_learns(own: Own, name: str) -> bool:
    """Whether the gateway takes the key of an endpoint that was just made."""
    with own.studio.client(own.token) as api:
        api.post("/api/v1/endpoints", json={"name": name}).raise_for_status()
        key = api.get(f"/api/v1/endpoints/{name}/keys").json()["primary"]
    url = f"{own.studio.scoring_url}/endpoints/{name}/invocations"

    def asked(with_key: str) -> int:
        headers = {"Authorization": f"Bearer {with_key}"}
        return httpx.post(url, json={"inputs": [1]}, headers=headers).status_code

    until(lambda: asked(key) != 401, "the gateway knows the key", 10)
    return asked("another") == 401
