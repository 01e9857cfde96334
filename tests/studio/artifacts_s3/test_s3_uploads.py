"""What comes piece by piece is there whole or not at all in a bucket, too, and no more than a part of it in memory."""

from __future__ import annotations

import json
import secrets
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.test import Client
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from studio.lib import artifacts
from studio.lib.errors import Invalid, NotFound, Unavailable
from studio.lib.s3 import S3Folder
from tests.support.s3 import BUCKET, Server

MB = 1024 * 1024


class Broken(Exception):
    pass


@pytest.fixture
def root(bucket: Server) -> S3Folder:
    found = artifacts.root()
    assert isinstance(found, S3Folder)
    return found


def stored(server: Server, key: str) -> bytes:
    return bytes(server.client.get_object(Bucket=BUCKET, Key=f"studio/{key}")["Body"].read())


def unfinished(server: Server) -> list[str]:
    """Uploads in parts that were neither completed nor taken back: somebody pays for their room."""
    told = server.client.list_multipart_uploads(Bucket=BUCKET)
    return [each["Key"] for each in told.get("Uploads", [])]


@pytest.mark.parametrize("size", [0, 1, 8 * MB - 1, 8 * MB, 8 * MB + 1])
@pytest.mark.parametrize("known", [True, False])
def test_what_comes_is_stored_whole(bucket: Server, root: S3Folder, size: int, known: bool) -> None:
    content = secrets.token_bytes(size)
    pieces = [b"", *(content[at : at + 65_536] for at in range(0, size, 65_536))]
    root.receive("1/a b/größe.bin", iter(pieces), size if known else None)
    assert stored(bucket, "1/a b/größe.bin") == content
    assert bucket.keys() == ["studio/1/a b/größe.bin"]
    assert unfinished(bucket) == []


@pytest.mark.parametrize("before", [0, 17])
def test_what_breaks_off_leaves_nothing(bucket: Server, root: S3Folder, before: int) -> None:
    bucket.put("studio/1/file", b"before")

    def pieces() -> Iterator[bytes]:
        for _ in range(before):
            yield bytes(MB)
        raise Broken

    for path in ("1/file", "1/new"):
        with pytest.raises(Broken):
            root.receive(path, pieces())
    assert bucket.keys() == ["studio/1/file"]
    assert stored(bucket, "1/file") == b"before"
    assert unfinished(bucket) == []


def test_a_part_is_held_in_memory_and_no_more(bucket: Server, root: S3Folder) -> None:
    root.receive("1/first", [bytes(9 * MB)])  # what is loaded once is no growth
    tracemalloc.start()
    try:
        root.receive("1/big", (secrets.token_bytes(MB) for _ in range(40)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30 * MB


def test_a_file_too_large_for_small_parts_comes_in_larger_ones(
    bucket: Server, root: S3Folder
) -> None:
    """A store takes 10,000 parts of one file. Its size is believed: the last part may be smaller."""
    root.receive("1/big", (bytes(MB) for _ in range(21)), 10 * MB * 10_000)
    told = bucket.client.head_object(Bucket=BUCKET, Key="studio/1/big")
    assert (told["ContentLength"], told["ETag"][-3:]) == (21 * MB, '-3"')


@pytest.mark.parametrize("name", ["page.html", "weights.tar.gz", "MLmodel"])
@pytest.mark.parametrize("size", [10, 9 * MB])
def test_the_store_is_told_what_mlflow_tells_it(
    bucket: Server, root: S3Folder, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, name: str, size: int,
    anew: Callable[[], None],
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", json.dumps({"Metadata": {"team": "a"}}))
    anew()
    (tmp_path / name).write_bytes(bytes(size))
    S3ArtifactRepository(f"s3://{BUCKET}/studio/mlflow").log_artifact(str(tmp_path / name))
    root.receive(f"own/{name}", [bytes(size)])
    told = [
        bucket.client.head_object(Bucket=BUCKET, Key=f"studio/{whose}/{name}")
        for whose in ("mlflow", "own")
    ]
    mlflow, own = (
        {word: each.get(word) for word in ("ContentType", "ContentEncoding", "Metadata", "ETag")}
        for each in told
    )
    assert own == mlflow


@pytest.mark.parametrize("path", ["../x", "a//b", "/x", "./x", "x/", "x\0"])
def test_nothing_is_written_elsewhere(bucket: Server, root: S3Folder, path: str) -> None:
    with pytest.raises(NotFound):
        root.receive(path, [b"x"])
    with pytest.raises(Invalid):
        root.receive("", [b"x"])
    assert bucket.keys() == []


def test_a_name_that_no_store_takes_is_refused(bucket: Server, root: S3Folder) -> None:
    with pytest.raises(Invalid, match="1024 bytes"):
        root.receive("ü" * 509 + "x" * 3, [b"x"])
    assert bucket.keys() == []


def test_a_store_that_is_gone_is_told_of(bucket: Server, root: S3Folder) -> None:
    httpx.post(f"{bucket.url}/moto-api/reset")
    for size in (1, 20):
        with pytest.raises(Unavailable, match=r"s3://team \(STUDIO_ARTIFACTS\) does not exist"):
            root.receive("1/x", [bytes(MB)] * size)


@pytest.mark.django_db
def test_an_upload_goes_to_the_bucket(bucket: Server, as_alice: Client) -> None:
    where = "/api/2.0/mlflow-artifacts/artifacts"
    ours = {"Sec-Fetch-Site": "same-origin"}

    def put(path: str) -> Any:
        return as_alice.generic("PUT", f"{where}/{path}", b"content", headers=ours)

    assert put("1/run/artifacts/a%20b.txt").status_code == 200
    assert stored(bucket, "1/run/artifacts/a b.txt") == b"content"
    for path in ("1//x/y", ".studio-store", "1/a%23b", "n" * 2000):
        refused = put(path)
        assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")  # fmt: skip
    httpx.post(f"{bucket.url}/moto-api/reset")
    away = put("1/x")
    assert (away.status_code, away.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "does not exist" in away.json()["message"]
