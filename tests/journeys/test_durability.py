"""PostgreSQL and a web worker are killed while MLflow's clients log: they go on, and what they were told was so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import Any, NamedTuple

import orjson
import psutil
import psycopg
import pytest

from tests.support.lane import deadlocks, named_in, points_in
from tests.support.live import Studio, studio
from tests.support.loggers import SIZE, Clients, Probe, clients, probes
from tests.support.own_servers import OwnServers, own_servers
from tests.support.processes import until
from tests.support.row_order import called_out, circle_in, orders
from tests.support.together import Outcome, Requests, create_run, sender, write_together

Wire = psycopg.Connection[Any]


class Own(NamedTuple):
    studio: Studio
    servers: OwnServers
    token: str


class Load(NamedTuple):
    """What was sent while this and that was killed. `back`: when PostgreSQL answered again, monotonic seconds."""

    run_id: str
    clients: Clients
    probes: list[Probe]
    killed: float
    back: float
    went_on: bool


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    with own_servers(tls=False) as servers, studio(seconds=120, more=servers.settings) as running:
        yield Own(running, servers, running.token())


@pytest.fixture(scope="module")
def load(own: Own, tmp_path_factory: pytest.TempPathFactory) -> Load:
    run_id, postgres = create_run(own.studio, own.token), own.servers.postgres
    folder = tmp_path_factory.mktemp("clients")
    with (
        clients(own.studio, own.token, run_id, 3, folder) as writing,
        probes(own.studio, own.token, run_id) as sent,
    ):
        writing.wait_for_more()
        kill_a_web_worker(own.studio)
        writing.wait_for_more()
        postgres.kill()
        killed = monotonic()
        until(lambda: [one for one in sent if one.began > killed], "who asks meanwhile is answered")
        postgres.start()
        back = monotonic()
        writing.wait_for_more()
        went_on = writing.go_on
    return Load(run_id, writing, sent, killed, back, went_on)


@pytest.fixture
def wire(own: Own) -> Iterator[Wire]:
    with psycopg.connect(own.servers.postgres.url(), autocommit=True) as found:
        yield found


def kill_a_web_worker(studio: Studio) -> None:
    """One of granian's, which starts another in its place."""
    leader = psutil.Process(studio.pid("web"))
    workers = {child.pid for child in leader.children()}
    psutil.Process(min(workers)).kill()
    until(lambda: len({child.pid for child in leader.children()} - workers) == 1, "another worker")


def test_what_postgresql_acknowledges_is_on_the_disk(wire: Wire) -> None:
    """The lane's sessions say nothing else of it: its own test asks them."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert wire.execute(f"SHOW {name}").fetchall() == [("on",)]


def test_clients_go_on_by_themselves(load: Load) -> None:
    assert load.went_on
    assert "Traceback" not in load.clients.errors.read_text()


def test_every_acknowledged_value_is_there_once(load: Load, wire: Wire) -> None:
    found = Counter((p.key, p.step) for p in points_in(wire, load.run_id))
    assert set(found.values()) == {1}
    acknowledged = {("probe", one.step) for one in load.probes if one.status == 200}
    for number, client in enumerate(load.clients.all):
        acknowledged |= {(f"alone-{number}", turn) for turn in client.metrics}
        acknowledged |= {
            (f"batch-{number}", turn * SIZE + step)
            for turn in client.batches
            for step in range(SIZE)
        }
    assert acknowledged - found.keys() == set()
    assert len(acknowledged) > 500


def test_nothing_else_is_there_than_what_was_on_its_way(load: Load, wire: Wire) -> None:
    found = points_in(wire, load.run_id)
    for number, client in enumerate(load.clients.all):
        turns = {point.step for point in found if point.key == f"alone-{number}"}
        assert turns - client.metrics <= {len(client.metrics)}
    probed = {point.step for point in found if point.key == "probe"}
    assert probed <= {one.step for one in load.probes}


def test_a_batch_is_there_whole_or_not_at_all(load: Load, wire: Wire) -> None:
    points = Counter(
        (point.key, point.step // SIZE, point.value)
        for point in points_in(wire, load.run_id)
        if point.key.startswith("batch-")
    )
    assert set(points.values()) == {SIZE}
    names = {f"{key.removeprefix('batch-')}-{turn}": str(int(value)) for key, turn, value in points}
    tags = named_in(wire, load.run_id, "tags")
    assert {name: value for name, value in tags.items() if name in names} == names
    assert len(tags) == len(names) + 1  # the run's name
    assert named_in(wire, load.run_id, "params") == names


def test_the_latest_of_each_metric_is_the_last(load: Load, wire: Wire) -> None:
    points = points_in(wire, load.run_id)
    last = {key: max(p for p in points if p.key == key) for key in {p.key for p in points}}
    assert set(points_in(wire, load.run_id, "latest_metrics")) == set(last.values())


def test_nobody_fails_who_asks_once_postgresql_is_back(load: Load) -> None:
    later = [one for one in load.probes if one.began > load.back]
    assert {one.status for one in later} == {200}
    assert len(later) > 20


def test_meanwhile_mlflow_s_clients_are_told_to_try_again(load: Load) -> None:
    refused = [one for one in load.probes if load.killed < one.began and one.status != 200]
    assert {one.status for one in refused} == {503}
    for one in refused:
        assert orjson.loads(one.answer)["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "The database" in one.answer


def test_on_the_oldest_postgresql_too_rows_are_written_in_one_order(own: Own, wire: Wire) -> None:
    run_id = create_run(own.studio, own.token)
    told = wire.execute(_MODEL, [run_id, run_id]).fetchall()
    [(admin,)] = wire.execute("SELECT id FROM accounts_user WHERE username = 'admin'").fetchall()
    wire.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('a', 'old', %s)", [run_id])
    with called_out(own.servers.postgres.url()) as caller:
        found = orders(caller, {"asker": admin, "run": run_id}, told[0][0])
    assert all(found)
    assert circle_in(found) is None


def test_on_the_oldest_postgresql_too_writers_never_deadlock(own: Own, wire: Wire) -> None:
    run_id, before = create_run(own.studio, own.token), deadlocks(wire)
    writers = [Requests(run_id, number, 15) for number in range(16)]
    told = write_together(lambda: sender(own.studio, own.token), writers, 20)
    Outcome(told, wire, run_id).check()
    assert deadlocks(wire) == before


_MODEL = """
INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                           last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)
SELECT 'm-' || %s, experiment_id, 'm', 'mlflow-artifacts:/m', 1, 1, 2, 'active', run_uuid
FROM runs WHERE run_uuid = %s RETURNING model_id
"""
