"""A Studio whose artifacts lie in an S3 store: stock clients, pages and strangers."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest
from django.test import override_settings
from mlflow import MlflowClient

from studio.lib.home import Home
from tests.support import prebuilt
from tests.support.attacker import user_on
from tests.support.live import PASSWORD, Studio, studio
from tests.support.processes import until
from tests.support.s3 import BUCKET, Server
from tests.support.web import by_hand

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its libraries
MB = 1024 * 1024
API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts"


@pytest.fixture(scope="module")
def away(server: Server) -> Iterator[Studio]:
    """Studio, with its artifacts away."""
    server.empty()
    with studio(seconds=120, more=server.environment) as started:
        yield started


@pytest.fixture(scope="module")
def token(away: Studio) -> str:
    return away.token()


@pytest.fixture(scope="module")
def http(away: Studio, token: str) -> Iterator[httpx.Client]:
    with away.client(token) as client:
        yield client


@pytest.fixture(scope="module")
def page(away: Studio) -> Iterator[httpx.Client]:
    """An administrator's browser."""
    with httpx.Client(base_url=away.url, timeout=60, follow_redirects=True) as client:
        client.get("/login/")
        form = {"username": "admin", "password": PASSWORD}
        csrf = next(value for name, value in client.cookies.items() if "csrf" in name)
        client.post("/login/", data=form | {"csrfmiddlewaretoken": csrf})
        yield client


@pytest.fixture
def client(away: Studio, token: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own, which knows nothing of any store."""
    for name in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    return MlflowClient(away.url)


@pytest.fixture
def run(client: MlflowClient) -> mlflow.entities.Run:
    experiment = client.create_experiment(f"s3-{secrets.token_hex(4)}")
    return client.create_run(experiment)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 MB that cannot be made smaller."""
    path = tmp_path_factory.mktemp("big") / "weights.bin"
    piece = secrets.token_bytes(MB)
    with path.open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(4, "big") + piece[4:])
    return path


def digest(pieces: Iterator[bytes]) -> str:
    summary = hashlib.sha256()
    for piece in pieces:
        summary.update(piece)
    return summary.hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return digest(iter(lambda: file.read(MB), b""))


@contextmanager
def flat(away: Studio, most: int) -> Iterator[None]:
    """No process of Studio's that passes files on grows by more than so many bytes meanwhile.

    Half a file: what Python and boto3 load and keep moves by some 60 MB from run to run.
    """
    told = json.loads((away.home / "processes.json").read_text())["processes"]
    heads = [psutil.Process(each["pid"]) for each in told if each["name"] in ("web", "reference")]
    watched = [each for head in heads for each in (head, *head.children(recursive=True))]
    before = {each: each.memory_info().rss for each in watched}
    highest, done = dict(before), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for each in watched:
                highest[each] = max(highest[each], each.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    grown = {
        f"{each.cmdline()[2]} {each.pid}": (highest[each] - before[each]) // MB for each in watched
    }
    assert max(grown.values()) * MB < most, grown


def environments_of_models(away: Studio) -> Iterator[dict[str, str]]:
    """What each model server of this Studio was started with."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # ended meanwhile
            ours = process.cwd().startswith(str(away.home))
            if ours and "model_server" in " ".join(process.cmdline()):
                yield process.environ()


def stored(server: Server, run: mlflow.entities.Run, name: str) -> dict[str, object]:
    key = f"studio/{run.info.experiment_id}/{run.info.run_id}/artifacts/{name}"
    return dict(server.client.head_object(Bucket=BUCKET, Key=key))


def test_200_mb_come_and_go_through_studio_with_flat_memory(
    away: Studio, server: Server, client: MlflowClient, page: httpx.Client,
    run: mlflow.entities.Run, big: Path,
) -> None:  # fmt: skip
    client.log_text(run.info.run_id, "x", "first.txt")  # what is loaded once is no growth
    page.get(f"/runs/{run.info.run_id}/?tab=artifacts")
    with flat(away, 100 * MB):
        client.log_artifact(run.info.run_id, str(big), "model")
        there = stored(server, run, "model/weights.bin")
        assert there["ContentLength"] == 200 * MB
        assert str(there["ETag"]).endswith('-25"')  # MLflow's server has sent it in parts
        url = f"/runs/{run.info.run_id}/download/"
        with page.stream("GET", url, params={"path": "model/weights.bin"}) as answer:
            assert answer.headers["Content-Length"] == str(200 * MB)
            assert digest(answer.iter_bytes()) == of_file(big)


def test_200_mb_go_to_the_store_itself_where_a_client_is_told_to(
    away: Studio, server: Server, client: MlflowClient, run: mlflow.entities.Run, big: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(5 * MB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MB))
    first = tmp_path / "first.bin"
    first.write_bytes(bytes(6 * MB))
    client.log_artifact(run.info.run_id, str(first))  # what is loaded once is no growth
    client.download_artifacts(run.info.run_id, "first.bin", str(tmp_path))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(20 * MB))
    with flat(away, 100 * MB):
        client.log_artifact(run.info.run_id, str(big), "model")
        assert str(stored(server, run, "model/weights.bin")["ETag"]).endswith('-10"')
        got = client.download_artifacts(run.info.run_id, "model/weights.bin", str(tmp_path))
    assert of_file(Path(got)) == of_file(big)


def test_an_upload_in_parts_goes_on_where_it_was_left(
    server: Server, http: httpx.Client, run: mlflow.entities.Run
) -> None:
    place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
    asked = {"path": "weights.bin", "num_parts": 3}
    made = http.post(f"{PROXY}/mpu/create/{place}", json=asked).json()
    contents = [secrets.token_bytes(5 * MB), secrets.token_bytes(5 * MB), b"the rest"]
    httpx.put(made["credentials"][1]["url"], content=b"broke off")  # and is sent again
    parts = []
    for part, content in zip(made["credentials"], contents, strict=True):
        sent = httpx.put(part["url"], content=content)
        parts.append({"part_number": part["part_number"], "etag": sent.headers["etag"]})
    assert server.keys(f"studio/{place}/") == []
    body = {"path": "weights.bin", "upload_id": made["upload_id"], "parts": parts}
    assert http.post(f"{PROXY}/mpu/complete/{place}", json=body).status_code == 200
    key = f"studio/{place}/weights.bin"
    assert server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"".join(contents)


@pytest.mark.parametrize("flask", [False, True])
def test_an_upload_that_breaks_off_stores_nothing(
    away: Studio, server: Server, token: str, http: httpx.Client, run: mlflow.entities.Run, flask: bool
) -> None:  # fmt: skip
    place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
    route = f"PUT {PROXY}/artifacts/{place}/half.bin HTTP/1.1"
    if flask:
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run.info.run_id}&path=half.bin"
        route = f"POST {upload} HTTP/1.1"
    rights = f"Authorization: Bearer {token}"
    by_hand(away.url, route, rights, f"Content-Length: {4 * MB}", body=bytes(2 * MB), drop="fin")
    answer = http.put(f"{PROXY}/artifacts/{place}/whole.txt", content=b"whole")  # comes after
    assert answer.status_code == 200
    assert server.keys(f"studio/{place}/") == [f"studio/{place}/whole.txt"]
    until(lambda: not any((away.home / "passing-through").iterdir()), "nothing is left of it", 5)


def test_a_file_is_fetched_from_the_store_itself_by_who_asks_for_its_address(
    server: Server, client: MlflowClient, http: httpx.Client, run: mlflow.entities.Run
) -> None:
    client.log_text(run.info.run_id, "by another way", "x.txt")
    place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts/x.txt"
    url = http.get(f"{PROXY}/presigned/{place}").json()["url"]
    assert url.startswith(f"{server.url}/team/studio/{place}?")
    assert httpx.get(url).text == "by another way"


def test_a_client_that_is_told_nothing_is_not_sent_to_the_store(http: httpx.Client) -> None:
    told = http.get("/api/3.0/mlflow/server-info").json()
    flags = [name for name in told if name.startswith("multipart_")]
    assert len(flags) == 2 and not any(told[name] for name in flags)


def test_the_parts_of_an_upload_need_a_permission(
    away: Studio, server: Server, run: mlflow.entities.Run
) -> None:
    place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
    body = {"path": "evil.bin", "num_parts": 1, "upload_id": "x", "parts": [{"part_number": 1}]}
    before = server.keys()
    with away.client(user_on(away, "s3-stranger")) as stranger:
        for step in ("create", "complete", "abort"):
            for prefix in ("/api", "/ajax-api", "/mlflow/ajax-api"):
                url = f"{prefix}/2.0/mlflow-artifacts/mpu/{step}/{place}"
                assert stranger.post(url, json=body).status_code == 403
        assert stranger.get(f"{PROXY}/presigned/{place}/model").status_code == 403
        for kind in ("upload", "download"):
            url = f"{API}/artifacts/presigned-{kind}-url"
            asked = {"run_id": run.info.run_id, "path": "x"}
            assert stranger.post(url, json=asked).status_code == 403
    assert server.keys() == before


def test_files_are_browsed(
    client: MlflowClient, http: httpx.Client, page: httpx.Client, run: mlflow.entities.Run
) -> None:
    client.log_text(run.info.run_id, "weighs little", "notes/größe & <b>.txt")
    client.log_dict(run.info.run_id, {"a": 1}, "conf.json")
    mine = f"/runs/{run.info.run_id}"
    tab = page.get(f"{mine}/?tab=artifacts").text
    assert "conf.json" in tab and "notes" in tab
    assert "größe &amp; &lt;b&gt;.txt" in page.get(f"{mine}/artifacts/?path=notes").text
    shown = page.get(f"{mine}/preview/", params={"path": "notes/größe & <b>.txt"}).text
    assert "weighs little" in shown
    listed = http.get(f"{API}/artifacts/list", params={"run_id": run.info.run_id}).json()
    assert [each["path"] for each in listed["files"]] == ["conf.json", "notes"]
    missing = f"{run.info.experiment_id}/{run.info.run_id}/artifacts/missing"
    assert http.get(f"{PROXY}/artifacts/{missing}").status_code == 404
    assert page.get(f"{mine}/download/?path=missing").status_code == 404


def test_the_files_of_a_trace_are_read(
    server: Server, http: httpx.Client, run: mlflow.entities.Run
) -> None:
    info = {
        "trace_id": "tr-1",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": run.info.experiment_id},
        },
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    made = http.post("/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}).json()
    location = made["trace"]["trace_info"]["tags"]["mlflow.artifactLocation"]
    key = location.replace("mlflow-artifacts:", "studio")
    server.put(f"{key}/traces.json", b'{"spans": []}')
    route = "/ajax-api/3.0/mlflow/get-trace-artifact"
    assert http.get(route, params={"request_id": "tr-1"}).json() == {"spans": []}


def test_a_model_is_deployed_and_scored(
    away: Studio, client: MlflowClient, http: httpx.Client, run: mlflow.entities.Run
) -> None:
    with override_settings(HOME=Home(away.home)):
        prebuilt.make_environment()
    code = "class Model:\n    def predict(self, rows):\n        return [len(rows)]\n\ndef _load_pyfunc(path):\n    return Model()\n"
    files = {
        "MLmodel": "flavors:\n  python_function:\n    loader_module: a_tiny_model\n    code: code\nmlflow_version: 3.17.2\n",
        "requirements.txt": prebuilt.MLFLOW,
        "code/a_tiny_model.py": code,
    }
    for name, text in files.items():
        client.log_text(run.info.run_id, text, f"model/{name}")
    client.create_registered_model("counter")
    client.create_model_version("counter", f"{run.info.artifact_uri}/model", run.info.run_id)
    assert http.post("/api/v1/endpoints", json={"name": "counting"}).status_code == 201
    body = {"name": "first", "model_uri": "models:/counter/1"}
    assert http.post("/api/v1/endpoints/counting/deployments", json=body).status_code == 202

    def state() -> str:
        told = http.get("/api/v1/endpoints/counting/deployments/first").json()
        assert told["state"] != "failed", told
        return str(told["state"])

    until(lambda: state() == "live", "the deployment is live", 60)
    key = http.get("/api/v1/endpoints/counting/keys").json()["primary"]

    def scored() -> httpx.Response | None:
        answer = httpx.post(
            f"{away.scoring_url}/endpoints/counting/invocations",
            json={"inputs": [1, 2, 3]},
            headers={"Authorization": f"Bearer {key}"},
        )
        return answer if answer.status_code == 200 else None

    assert until(scored, "the gateway knows of it", 10).json() == {"predictions": [3]}
    given = list(environments_of_models(away))
    assert given and not any("AWS_SECRET_ACCESS_KEY" in each for each in given)


@pytest.mark.parametrize(
    "location",
    ["s3://elsewhere/studio", "s3://team/studio-evil", "s3://team/%73tudio", "s3://team//studio", "file:///etc", "/etc"],
)  # fmt: skip
def test_another_place_is_shown_and_never_opened(
    server: Server, client: MlflowClient, http: httpx.Client, page: httpx.Client, location: str
) -> None:
    experiment = client.create_experiment(f"s3-{secrets.token_hex(4)}", artifact_location=location)
    run = client.create_run(experiment).info.run_id
    for bucket, prefix in (("elsewhere", "studio"), ("team", "studio-evil"), ("team", "%73tudio"), ("team", "/studio")):  # fmt: skip
        key = f"{prefix}/{run}/artifacts/secret.txt"
        server.put(key, b"only the owner may know", bucket=bucket)
    before = server.keys()
    tab = page.get(f"/runs/{run}/?tab=artifacts").text
    assert "does not lie below STUDIO_ARTIFACTS" in tab and "secret.txt" not in tab
    answers = [
        page.get(f"/runs/{run}/download/?path=secret.txt"),
        page.get(f"/runs/{run}/preview/?path=secret.txt"),
        http.get(f"{API}/artifacts/list", params={"run_id": run}),
        page.get("/mlflow/ajax-api/2.0/mlflow/artifacts/list", params={"run_id": run}),
        http.get("/get-artifact", params={"run_uuid": run, "path": "secret.txt"}),
        http.post(f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=new.txt", content=b"x"),
        http.post(f"{API}/artifacts/presigned-upload-url", json={"run_id": run, "path": "x"}),
        http.post(f"{API}/artifacts/presigned-download-url", json={"run_id": run, "path": "secret.txt"}),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404, 404, 400, 400, 400, 400, 400, 400]
    assert not any("may know" in answer.text or "secret.txt" in answer.text for answer in answers[2:])  # fmt: skip
    assert server.keys() == before


def test_an_experiment_may_lie_at_an_address_of_the_store(
    server: Server, client: MlflowClient, http: httpx.Client, page: httpx.Client
) -> None:
    location = "s3://team/studio/shared place"
    experiment = client.create_experiment(f"s3-{secrets.token_hex(4)}", artifact_location=location)
    run = client.create_run(experiment).info.run_id
    server.put(f"studio/shared place/{run}/artifacts/x.txt", b"here it is")
    assert "here it is" in page.get(f"/runs/{run}/preview/?path=x.txt").text
    answer = http.get("/get-artifact", params={"run_uuid": run, "path": "x.txt"})
    assert answer.content == b"here it is"


def test_a_bucket_that_vanishes_is_told_and_comes_back(
    server: Server, client: MlflowClient, http: httpx.Client, page: httpx.Client,
    run: mlflow.entities.Run,
) -> None:  # fmt: skip
    client.log_text(run.info.run_id, "x", "x.txt")
    httpx.post(f"{server.url}/moto-api/reset")
    tab = page.get(f"/runs/{run.info.run_id}/?tab=artifacts")
    told = "The artifact store is out of reach: s3://team (STUDIO_ARTIFACTS) does not exist."
    assert tab.status_code == 200 and told in tab.text
    assert page.get(f"/runs/{run.info.run_id}/download/?path=x.txt").status_code == 503
    place = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
    assert http.put(f"{PROXY}/artifacts/{place}/y.txt", content=b"y").status_code == 503
    server.empty()
    assert http.put(f"{PROXY}/artifacts/{place}/y.txt", content=b"y").status_code == 200
    assert "y.txt" in page.get(f"/runs/{run.info.run_id}/?tab=artifacts").text
