"""Large files come down through the running Studio, which holds none of them in memory and asks MLflow for none."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from tests.journeys.test_forward_real import growth, process
from tests.support.live import Studio
from tests.support.processes import open_below, until

MB = 1024 * 1024
API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def client(live: Studio, token: str) -> Iterator[httpx.Client]:
    with live.client(token) as client:
        yield client


@pytest.fixture
def place(client: httpx.Client) -> str:
    """The path of a new run's artifacts, below MLflow's proxy."""
    name = {"name": f"downloads-{secrets.token_hex(4)}"}
    experiment = client.post(f"{API}/experiments/create", json=name).json()["experiment_id"]
    run = client.post(f"{API}/runs/create", json={"experiment_id": experiment}).json()["run"]
    return f"{experiment}/{run['info']['run_id']}/artifacts"


@pytest.fixture
def folder(live: Studio, place: str) -> Path:
    made = live.home / "artifacts" / place
    made.mkdir(parents=True)
    return made


def test_200_mb_come_down_in_flat_memory(
    live: Studio, client: httpx.Client, place: str, folder: Path
) -> None:
    block, kept, got = secrets.token_bytes(MB), hashlib.sha256(), hashlib.sha256()
    (folder / "small").write_bytes(block)
    with (folder / "big.bin").open("wb") as file:
        for number in range(200):
            piece = number.to_bytes(4, "big") + block[4:]
            kept.update(piece)
            file.write(piece)
    # Once in small: the first request of a process costs what later ones do not.
    for _ in range(4):
        assert client.get(f"{PROXY}/{place}/small").content == block
    web, reference = process(live, "web"), process(live, "reference")
    with growth(web, reference) as grown:
        with client.stream("GET", f"{PROXY}/{place}/big.bin") as answer:
            assert answer.headers["content-length"] == str(200 * MB)
            pieces = answer.iter_raw()
            got.update(next(pieces))
            assert open_below(folder, web)
            assert not open_below(folder, reference)
            for piece in pieces:
                got.update(piece)
        assert got.digest() == kept.digest()
        rest = client.get(f"{PROXY}/{place}/big.bin", headers={"Range": f"bytes={199 * MB}-"})
        assert (rest.status_code, rest.content) == (206, (199).to_bytes(4, "big") + block[4:])
    assert grown() < 30 * MB
    until(lambda: not open_below(folder, web), "the file is closed", 5)


def test_a_slow_reader_makes_nothing_pile_up(
    live: Studio, client: httpx.Client, place: str, folder: Path
) -> None:
    with (folder / "big.bin").open("wb") as file:
        file.truncate(500 * MB)
    web = process(live, "web")
    with client.stream("GET", f"{PROXY}/{place}/big.bin") as answer, growth(web) as grown:
        pieces = answer.iter_raw()  # who lets go of it hangs up
        assert next(pieces)
        time.sleep(1)  # what would pile up has had its time
        assert open_below(folder, web)
        assert grown() < 30 * MB
    until(lambda: not open_below(folder, web), "a download that breaks off closes its file", 5)


def test_a_stock_client_gets_what_it_has_logged(
    live: Studio, token: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    client, run = MlflowClient(live.url), place.split("/")[1]
    client.log_text(run, "größer", "a b/größe.txt")
    client.log_text(run, "", "empty")
    got = Path(client.download_artifacts(run, "", str(tmp_path)))
    found = {str(each.relative_to(got)): each.read_text() for each in got.rglob("*.*")}
    assert found == {"a b/größe.txt": "größer"}
    assert (got / "empty").read_text() == ""
