"""Files of a bucket are sent whole or in part as they come from there, and its folders listed as MLflow lists them."""

from __future__ import annotations

import secrets
import tracemalloc
from typing import Any

import pytest
from django.test import Client
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from studio.lib import artifacts, s3
from studio.lib.errors import NotFound, Unavailable
from studio.mlflow import upstream
from tests.support.rows import make_experiment, make_run
from tests.support.s3 import Server
from tracking.models import Run

MB = 1024 * 1024
OURS = {"Sec-Fetch-Site": "same-origin"}
WHERE = "/api/2.0/mlflow-artifacts/artifacts"
PARTS = [(0, 200_000), (0, 1), (5, 10), (70_000, 170_000), (199_999, 200_000)]


@pytest.fixture
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(request: object) -> None:
        raise Unavailable("MLflow is asked")

    monkeypatch.setattr(upstream, "send", send)


@pytest.fixture
def content(bucket: Server) -> bytes:
    """What lies at 1/a b/größe.bin."""
    made = secrets.token_bytes(200_000)
    bucket.put("studio/1/a b/größe.bin", made)
    return made


@pytest.mark.parametrize(("start", "stop"), PARTS)
def test_the_part_that_is_asked_for_is_sent(content: bytes, start: int, stop: int) -> None:
    file = artifacts.root().open("1/a b/größe.bin")
    assert file.size == len(content)
    assert b"".join(file.pieces(start, stop)) == content[start:stop]
    file.close()


def test_no_more_than_the_part_is_fetched(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    get = s3.client().get_object

    def watched(**asked: Any) -> Any:
        found = get(**asked)
        fetched.append(found["ContentLength"])
        return found

    monkeypatch.setattr(s3.client(), "get_object", watched)
    file = artifacts.root().open("1/a b/größe.bin")
    assert fetched == []
    assert list(file.pieces(5, 10)) == [content[5:10]]
    assert fetched == [5]
    file.close()


def test_an_empty_file_has_a_whole(bucket: Server) -> None:
    bucket.put("studio/1/empty", b"")
    file = artifacts.root().open("1/empty")
    assert (file.size, b"".join(file.pieces(0, 0))) == (0, b"")
    file.close()


def test_what_has_changed_since_it_was_opened_is_not_sent(bucket: Server, content: bytes) -> None:
    file = artifacts.root().open("1/a b/größe.bin")
    bucket.put("studio/1/a b/größe.bin", bytes(len(content)))
    for start, stop in PARTS:
        with pytest.raises(Unavailable, match="PreconditionFailed"):
            file.pieces(start, stop)
    file.close()


@pytest.mark.parametrize("path", ["", "1", "1/a b", "1/absent", "1/a b/größe.bin/x", "../secret"])
def test_what_is_no_file_is_not_opened(bucket: Server, content: bytes, path: str) -> None:
    bucket.put("secret", b"secret")
    with pytest.raises(NotFound):
        artifacts.root().open(path)


def test_a_file_is_closed_though_nobody_reads_it(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = []
    get = s3.client().get_object

    def watched(**asked: Any) -> Any:
        found = get(**asked)
        bodies.append(found["Body"])
        return found

    monkeypatch.setattr(s3.client(), "get_object", watched)
    file = artifacts.root().open("1/a b/größe.bin")
    file.pieces(0, file.size)
    file.close()
    assert [body._raw_stream.closed for body in bodies] == [True]


def test_memory_stays_flat(bucket: Server) -> None:
    bucket.put("studio/1/big", bytes(40 * MB))
    b"".join(artifacts.root().pieces("1/big"))  # what is loaded once is no growth
    tracemalloc.start()
    try:
        file = artifacts.root().open("1/big")
        assert sum(map(len, file.pieces(0, file.size))) == 40 * MB
        file.close()
        _, grown = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4 * MB


@pytest.mark.django_db
def test_a_download_is_answered_from_the_bucket(
    as_alice: Client, content: bytes, without_mlflow: None
) -> None:
    address = f"{WHERE}/1/a b/größe.bin"
    whole = as_alice.get(address, headers=OURS)
    assert whole.headers["Content-Length"] == "200000"
    assert b"".join(whole.streaming_content) == content  # type: ignore[attr-defined]
    known = {"Range": "bytes=5-9", "If-Range": whole.headers["ETag"]}
    part: Any = as_alice.get(address, headers=OURS | known)
    assert (part.status_code, b"".join(part.streaming_content)) == (206, content[5:10])
    assert as_alice.get(address, headers=OURS | {"Range": "bytes=200000-"}).status_code == 416


@pytest.mark.django_db
def test_a_bucket_out_of_reach_is_left_to_mlflow(
    as_alice: Client, content: bytes, without_mlflow: None, refusing: None
) -> None:
    answer = as_alice.get(f"{WHERE}/1/a b/größe.bin", headers=OURS)
    assert answer.json()["message"] == "MLflow is asked"


@pytest.mark.django_db
def test_a_list_is_that_of_mlflows_store(
    bucket: Server, as_alice: Client, without_mlflow: None
) -> None:
    run = make_run(make_experiment())
    Run.objects.filter(pk=run.pk).update(artifact_uri="mlflow-artifacts:/1/run")
    for path in ("b/c/d", "b.txt", "b", "Z", "größe/x", "a/", "a/b", "empty", "b-1/x"):
        bucket.put(f"studio/1/run/{path}", b"" if path in ("a/", "empty") else path.encode())
    store = S3ArtifactRepository("s3://team/studio/1/run")
    for path in ("", "b", "a"):
        asked = {"run_id": run.pk, "path": path}
        found: Any = as_alice.get("/api/2.0/mlflow/artifacts/list", asked, headers=OURS).json()
        told = [(one["path"], one["is_dir"], one.get("file_size")) for one in found["files"]]
        known = [
            (one.path, one.is_dir, one.file_size or None) for one in store.list_artifacts(path)
        ]
        assert told == known
