"""One name and one port for everything, by the nginx.conf of docs/deploy/: pages, MLflow's clients, predictions."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.hosts import Host, Hosts
from tests.support.processes import open_below, until

_CLIENT = """
import sys, mlflow
from pathlib import Path
mlflow.set_experiment("through nginx")
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
    mlflow.log_artifact(sys.argv[1], "files")
found = mlflow.MlflowClient().get_run(run.info.run_id)
assert found.data.metrics == {"loss": 0.5}
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="files")
assert [path.read_bytes() for path in Path(back).iterdir()] == [Path(sys.argv[1]).read_bytes()]
print(run.info.run_id)
"""
# A live deployment of an endpoint, with the stand-in for a model server.
_DEPLOY = """
from django.db import transaction
from endpoints.models import State
from endpoints import services
from studio.accounts.models import User
from tests.support.serving import make_deployment, make_endpoint, make_runnable
with transaction.atomic():
    by = User.objects.get(username="admin")
    endpoint = make_endpoint(by, "NAME")
    make_runnable(make_deployment(by, endpoint, state=State.LIVE, traffic=100), "serve")
print(services.primary_key(endpoint))
"""


@pytest.fixture(scope="module")
def api(two: Hosts, token: str) -> Iterator[httpx.Client]:
    with two.client(headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture(scope="module")
def key(two: Hosts) -> str:
    """The key of the endpoint `nginx`, whose replica answers."""
    key = deploy_standin(two, "nginx")
    headers = {"Authorization": f"Bearer {key}"}
    with two.client(headers=headers) as client:

        def scored() -> bool:
            return client.post("/endpoints/nginx/invocations", json={}).status_code == 200

        until(scored, "the replica answers", 30)
    return key


def deploy_standin(two: Hosts, name: str) -> str:
    """The key of an endpoint of this name, which gets a replica on `first`."""
    done = two.first.manage("shell", "-v", "0", "-c", _DEPLOY.replace("NAME", name))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_a_stock_client_logs_a_run_with_a_file_over_https(
    two: Hosts, token: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(os.urandom(3_000_000))
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, str(file)],
        cwd=tmp_path,
        env=os.environ
        | {
            "MLFLOW_TRACKING_URI": two.url,
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(two.authority),
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    for host in (two.first, two.second):  # whichever stored it
        page = httpx.get(
            f"{host.web}/api/2.0/mlflow/artifacts/list",
            params={"run_id": run_id, "path": "files"},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert [one["file_size"] for one in page.json()["files"]] == [3_000_000]


def curl(two: Hosts, token: str, *arguments: str, given: Any = None) -> bytes:
    command = ["curl", "-sS", "--fail-with-body", "--http2", "--cacert", str(two.authority)]
    command += ["-H", f"Authorization: Bearer {token}", *arguments]
    done = subprocess.run(command, stdin=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_body_of_no_told_length_comes_over_http_2_whole(
    two: Hosts, token: str, api: httpx.Client, tmp_path: Path
) -> None:
    """Of HTTP/2 the web process would take it for none: nginx speaks HTTP/1.1 to it."""
    made = api.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()
    info = made["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    address = f"{two.url}/api/2.0/mlflow-artifacts/artifacts/{root}/stream.bin"
    content = os.urandom(5_000_000)
    file = tmp_path / "stream.bin"
    file.write_bytes(content)
    with file.open("rb") as given:
        version = curl(two, token, "-T", "-", "-w", "%{http_version}", address, given=given)
    assert version.endswith(b"2")
    back = curl(two, token, address)
    assert hashlib.sha256(back).digest() == hashlib.sha256(content).digest()


def test_an_upload_reaches_studio_while_it_still_comes(
    two: Hosts, token: str, api: httpx.Client
) -> None:
    """nginx keeps nothing first: what is refused is refused before it has been sent."""
    halves: list[str] = []

    def body() -> Iterator[bytes]:
        halves.append("begun")
        yield b"x" * 100_000
        until(lambda: _draft_in(two), "the first half lies in the store", 20)
        halves.append("seen")
        yield b"y" * 100_000

    made = api.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()
    root = made["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    answer = api.put(
        f"/api/2.0/mlflow-artifacts/artifacts/{root}/slow.bin",
        content=body(),
        headers={"Content-Length": "200000"},
    )
    assert answer.status_code == 200, answer.text
    assert halves == ["begun", "seen"]


def _draft_in(two: Hosts) -> bool:
    """Whether a web process holds an open file with the first part of the upload."""
    webs = [psutil.Process(host.running["web"].pid) for host in (two.first, two.second)]
    store = Path(two.first.environment["STUDIO_ARTIFACTS"])
    return any(size >= 50_000 for size in open_below(store, *webs).values())


def test_predictions_and_pages_share_the_port_and_tell_it(
    two: Hosts, api: httpx.Client, key: str
) -> None:
    address = f"{two.url}/endpoints/nginx/invocations"
    assert api.get("/api/v1/endpoints/nginx").json()["scoring_url"] == address
    for page in ("", "?tab=consume"):
        shown = api.get(f"/endpoints/nginx/{page}")
        assert (shown.status_code, address in shown.text) == (200, True)
        assert f":{two.first.port}" not in shown.text
        assert f":{two.first.environment['STUDIO_SCORING_PORT']}" not in shown.text
    assert two.url in api.get("/models/").text  # the snippet for the first model
    answer = api.post("/endpoints/nginx/invocations", json={}, headers=_bearer(key))
    assert (answer.status_code, answer.headers["studio-deployment"]) == (200, "blue")
    assert api.get("/endpoints/nginx/invocations").status_code == 405  # the gateway's answer


def test_the_file_by_which_hosts_know_their_store_is_nobody_s_artifact(
    two: Hosts, api: httpx.Client
) -> None:
    place = Path(two.first.environment["STUDIO_ARTIFACTS"]) / ".studio-store"
    before = place.read_text()
    address = "/api/2.0/mlflow-artifacts/artifacts"
    for asked in (address, f"{address}?path=", f"{address}?path=.", f"{address}/.studio-store"):
        told = api.get(asked)
        assert before.strip() not in told.text
        listed = told.json().get("files", []) if told.status_code == 200 else []
        assert ".studio-store" not in [one["path"] for one in listed], asked
    api.put(f"{address}/.studio-store", content=b"overwritten")
    api.delete(f"{address}/.studio-store")
    assert place.read_text() == before


@pytest.mark.parametrize("path", ["score", "swagger.json"])
def test_every_address_of_predictions_is_the_gateway_s(
    two: Hosts, api: httpx.Client, key: str, path: str
) -> None:
    told = api.get(f"/endpoints/nginx/{path}", headers=_bearer(key))
    assert "Studio-Deployment" in told.headers or "x-frame-options" not in told.headers  # no page


def test_the_test_tab_of_a_host_without_a_gateway_reaches_the_other_s(
    two: Hosts, token: str, key: str
) -> None:
    for host in (two.first, two.second):
        with httpx.Client(base_url=host.web, headers=_bearer(token), timeout=30) as client:
            answer = client.post("/endpoints/nginx/test/", data={"body": "{}"})
            assert "200" in answer.text, answer.text[-2000:]
            assert "not answering" not in answer.text


def test_an_answer_that_is_written_slowly_is_read_while_it_comes(
    two: Hosts, api: httpx.Client, key: str
) -> None:
    """The log of an attempt streams: its first piece is there before its last is asked for."""
    with api.stream("GET", "/endpoints/nginx/deployments/blue/log/download/") as answer:
        assert answer.status_code == 200
        assert answer.headers.get("transfer-encoding") == "chunked"
        for _ in answer.iter_raw():
            break


def test_a_web_host_that_ends_is_missed_by_nobody(two: Hosts, api: httpx.Client) -> None:
    assert two.second.stop("web") == {"web": 0}
    try:
        answers = [api.get("/api/v1/tokens").status_code for _ in range(12)]
        assert answers == [200] * 12
    finally:
        two.second.start("web")
    until(lambda: _lives(two.second), "it is back", 40)


def _lives(host: Host) -> bool:
    try:
        return httpx.get(f"{host.web}/livez").status_code == 200
    except httpx.HTTPError:
        return False


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
