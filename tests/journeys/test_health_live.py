"""A running Studio tells how it is: its processes, what they count, and a request by one id through all of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live import METRICS_TOKEN, Studio
from tests.support.processes import until

PROCESSES = {"up", "postgres", "redis", "web", "reference", "gateway", "agent", "worker", "beat"}
WORKERS = 2


@pytest.fixture
def api(live: Studio, token: str) -> Iterator[httpx.Client]:
    with live.client(token) as client:
        yield client


def running(api: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in api.get("/api/v1/health").json()["processes"]:
        if one["alive"]:
            found.setdefault(one["name"], []).append(one)
    return found


def test_every_process_tells_of_itself(api: httpx.Client) -> None:
    until(lambda: running(api).keys() == PROCESSES, "each has been heard of")
    told = running(api)
    assert len({one["pid"] for one in told["web"]}) >= WORKERS
    assert all(one["memory_bytes"] > 1_000_000 for ones in told.values() for one in ones)
    assert len({one["version"] for ones in told.values() for one in ones}) == 1


def samples(url: str) -> dict[str, float]:
    told = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert told.status_code == 200
    return {
        f"{one.name}{sorted(one.labels.items())}": one.value
        for family in text_string_to_metric_families(told.text)
        for one in family.samples
    }


def ask(live: Studio, times: int) -> None:
    for _ in range(times):  # each on a connection of its own, which any worker takes
        assert httpx.get(f"{live.url}/livez").status_code == 200


def test_workers_count_together_and_a_death_takes_nothing_back(
    live: Studio, api: httpx.Client
) -> None:
    livez = "studio_http_requests_total[('method', 'GET'), ('route', 'livez'), ('status', '2xx')]"
    before = samples(live.url).get(livez, 0)
    ask(live, 20)
    told = until(lambda: _all_of(live, livez, before + 20), "all workers have told", 10)
    assert {one[livez] for one in told} == {before + 20}
    until(lambda: len(running(api).get("web", [])) >= WORKERS, "the workers are known")
    victim = running(api)["web"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    # A zombie's threads may still hold its socket: until they have ended too it is given connections, and breaks them off.
    until(lambda: not psutil.pid_exists(victim), "nothing of it is left")
    ask(live, 5)
    counts = [samples(live.url)[livez] for _ in range(4)]
    assert counts == sorted(counts)
    assert counts[0] >= before + 20
    until(lambda: len(_pids(api) - {victim}) >= WORKERS, "another is there", 30)
    told = until(lambda: _all_of(live, livez, before + 25), "the sum with what the dead left", 10)
    assert {one[livez] for one in told} == {before + 25}


def _pids(api: httpx.Client) -> set[int]:
    try:
        return {one["pid"] for one in running(api).get("web", [])}
    except httpx.TransportError:  # the worker that it was connected to was just killed
        return set()


def _all_of(live: Studio, name: str, value: float) -> list[dict[str, float]]:
    """Three scrapes, once each tells this."""
    told = [samples(live.url) for _ in range(3)]
    return told if all(one.get(name) == value for one in told) else []


def test_the_gateway_tells_its_own_numbers_to_who_has_the_token(live: Studio) -> None:
    told = samples(live.scoring_url)
    assert told["studio_gateway_database_up[]"] == 1
    assert told["studio_gateway_memory_bytes[]"] > 1_000_000
    for header in ("", "Bearer wrong"):
        refused = httpx.get(f"{live.scoring_url}/metrics", headers={"Authorization": header})
        assert (refused.status_code, "studio_" in refused.text) == (401, False)


def lines_of(live: Studio, known: str) -> dict[str, str]:
    """The lines with this id, by process."""
    return {line.split()[1]: line for line in [*live.lines] if known in line}


@pytest.fixture(scope="module")
def run(live: Studio, token: str) -> tuple[str, str]:
    """A run's id, and the address of its artifacts, of which one is a file named a."""
    with live.client(token) as client:
        mlflow = "/api/2.0/mlflow"
        made = client.post(f"{mlflow}/experiments/create", json={"name": "known by its id"}).json()
        body = {"experiment_id": made["experiment_id"]}
        run_id = client.post(f"{mlflow}/runs/create", json=body).json()["run"]["info"]["run_id"]
        where = f"/api/2.0/mlflow-artifacts/artifacts/{made['experiment_id']}/{run_id}/artifacts"
        assert client.put(f"{where}/a", content=b"a").status_code == 200
        return run_id, where


def test_a_request_is_known_by_one_id_through_web_and_reference(
    live: Studio, api: httpx.Client, run: tuple[str, str]
) -> None:
    known, (run_id, where) = "seen.through-1", run
    answer = api.post(
        "/ajax-api/2.0/mlflow/upload-artifact",
        params={"run_uuid": run_id, "path": "a/below-a-file", "secret": "in-the-query"},
        content=b"b",
        headers={"X-Request-ID": known},
    )
    assert answer.status_code == 500
    assert answer.headers.get_list("X-Request-ID") == [known]
    until(lambda: lines_of(live, known).keys() >= {"web", "reference"}, "both have told")
    assert not [line for line in live.lines if known in line and "in-the-query" in line]
    kept = until(lambda: _failures(api, known), "the error on the page")
    route = "ajax-api/2.0/mlflow/upload-artifact"
    assert kept["web"]["route"] == kept["reference"]["route"] == route
    assert kept["reference"]["kind"] == "NotADirectoryError"
    assert where not in json.dumps(kept)


def _failures(api: httpx.Client, known: str) -> dict[str, dict[str, str]]:
    """The errors of this request by process, once two have told."""
    told = api.get("/api/v1/health").json()["failures"]
    found = {one["process"]: one for one in told if one["request_id"] == known}
    return found if len(found) == 2 else {}


def test_a_deployment_is_worked_on_under_the_id_of_who_asked(
    live: Studio, api: httpx.Client, run: tuple[str, str]
) -> None:
    known, (run_id, _) = "seen.through-2", run
    mlflow = "/api/2.0/mlflow"
    api.post(f"{mlflow}/registered-models/create", json={"name": "known-by-id"})
    version = {"name": "known-by-id", "source": f"runs:/{run_id}/none", "run_id": run_id}
    api.post(f"{mlflow}/model-versions/create", json=version).raise_for_status()
    assert api.post("/api/v1/endpoints", json={"name": "known-by-id"}).status_code == 201
    body = {"name": "first", "model_uri": "models:/known-by-id/1"}
    path = "/api/v1/endpoints/known-by-id/deployments"
    assert api.post(path, json=body, headers={"X-Request-ID": known}).status_code == 202
    until(lambda: "worker" in lines_of(live, known), "the worker's lines")
    assert "deployment=" in lines_of(live, known)["worker"]


def test_an_id_from_outside_that_could_do_harm_is_replaced(live: Studio) -> None:
    for given in ("two words", "a" * 65, "semi;colon"):
        made = httpx.get(f"{live.url}/livez", headers={"X-Request-ID": given})
        assert made.headers["X-Request-ID"] != given
        assert len(made.headers["X-Request-ID"]) == 32
