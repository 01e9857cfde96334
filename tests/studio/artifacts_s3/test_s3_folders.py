"""Folders of a bucket: what is listed, read and written there, and what lies elsewhere and is not opened."""

from __future__ import annotations

import gc
import hashlib
import secrets
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pytest_django import Settings

from studio.lib import artifacts, s3
from studio.lib.errors import NotFound, Unavailable
from studio.lib.s3 import S3Folder
from tests.support.live import ROOT, environment
from tests.support.processes import free_port, until
from tests.support.s3 import KEY, PAGE, SECRET, Server

MB = 1024 * 1024


@pytest.fixture
def named(settings: Settings) -> None:
    """The setting alone: addresses are judged without asking anybody."""
    settings.ARTIFACTS = "s3://team/studio"


@pytest.fixture
def run(bucket: Server) -> artifacts.Folder:
    """A run's folder, with another's and a secret beside it."""
    for path in ("plots/loss.png", "notes.txt", "größe & <b>.txt", "a/b/c.bin"):
        bucket.put(f"studio/1/run/{path}", path.encode())
    bucket.put("studio/1/run-2/other.txt", b"another run's")
    bucket.put("secret", b"secret")
    return artifacts.folder_of("mlflow-artifacts:/1/run")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("mlflow-artifacts:/1/run", "studio/1/run"), ("mlflow-artifacts:/1/r%75n/", "studio/1/run"),
        ("mlflow-artifacts:1/run", "studio/1/run"), ("s3://team/studio/1/run", "studio/1/run"),
        ("s3://team/studio/1/run/", "studio/1/run"), ("s3://team/studio/a%20b", "studio/a%20b"),
        ("s3://team/studio/a b", "studio/a b"), ("s3://team/studio/studio/1", "studio/studio/1"),
    ],
)  # fmt: skip
def test_an_address_below_the_prefix_is_a_folder(named: None, address: str, key: str) -> None:
    """An address of MLflow's proxy is decoded as its client does, one of the store is a key as it stands."""
    assert artifacts.folder_of(address) == S3Folder("team", key)


@pytest.mark.parametrize(
    "address",
    [
        "", ".", "/", "mlflow-artifacts:/", "s3://team/studio", "s3://team/studio/", "s3://team", "s3://team/secret",
        "s3://elsewhere/studio/1/run", "s3://team/studio-evil/1", "s3://team/studio/../secret", "s3://team/studio/./1",
        "s3://team/studio/%2e%2e/secret", "s3://team/studio/%25252e%25252e/x", "s3://team/%73tudio/1",
        "s3://team/studio%2f1", "s3://team//studio/1", "s3://team/studio//1", "s3://team/studio\\1", "s3://team/studio/..\\x",
        "s3://team/studio/1?versionId=x", "s3://team/studio/1#x", "s3://team/studio/1?", "s3://key@team/studio/1",
        "S3://team/studio/1", "s3://team:9000/studio/1", "s3://team/studio/1\0", "s3://team/studio/\t1", " s3://team/studio/1",
        "s3:/team/studio/1", "s3:team/studio/1", "file:///etc", "/etc", "1/run", "gs://team/studio/1",
        "https://team/studio/1", "mlflow-artifacts://team/1/run", "mlflow-artifacts:/../secret",
        "mlflow-artifacts:/%2e%2e/secret", "mlflow-artifacts:/1//run", "mlflow-artifacts:/1/./run", "s3://[x",
        "runs:/1/x", "models:/x/1",
    ],
)  # fmt: skip
def test_no_other_address_is_opened(named: None, address: str) -> None:
    with pytest.raises(NotFound):
        artifacts.folder_of(address)


@pytest.mark.parametrize(
    "path", ["..", "../run-2/other.txt", "/notes.txt", "a//b", "./notes.txt", "notes.txt/", "x\0", "\ud800", "x" * 2000, "missing", "notes.tx"]
)  # fmt: skip
def test_a_path_that_leads_out_or_nowhere_is_not_opened(run: artifacts.Folder, path: str) -> None:
    for attempt in (run.entry, run.entries, run.pieces, lambda path: run.head(path, 1)):
        with pytest.raises(NotFound):
            attempt(path)


def test_a_folder_is_listed_as_one_of_this_machine_is(run: artifacts.Folder) -> None:
    told = [(entry.name, entry.path, entry.is_folder, entry.size) for entry in run.entries()]
    assert told == [
        ("a", "a", True, 0),
        ("plots", "plots", True, 0),
        ("größe & <b>.txt", "größe & <b>.txt", False, 17),
        ("notes.txt", "notes.txt", False, 9),
    ]
    assert [entry.path for entry in run.entries("plots")] == ["plots/loss.png"]
    assert [entry.path for entry in run.files()] == [
        "a/b/c.bin", "größe & <b>.txt", "notes.txt", "plots/loss.png"
    ]  # fmt: skip
    assert [entry.path for entry in run.files("a")] == ["a/b/c.bin"]
    with pytest.raises(NotFound, match="is a file, not a folder"):
        run.entries("notes.txt")
    assert artifacts.folder_of("mlflow-artifacts:/1/later").entries() == []


def test_a_name_that_a_file_cannot_have_is_left_out(bucket: Server, run: artifacts.Folder) -> None:
    for key in ("marker/", "a//b", "x/../../../etc/passwd", "./y", "nul\0x"):
        bucket.put(f"studio/1/run/{key}")
    assert [entry.name for entry in run.entries()] == [
        "a", "marker", "plots", "x", "größe & <b>.txt", "notes.txt"
    ]  # fmt: skip
    assert "passwd" not in "".join(entry.path for entry in run.files())
    assert run.entries("marker") == []


def test_a_folder_of_more_than_one_answer_is_listed_whole(bucket: Server) -> None:
    names = [f"{number:03}" for number in range(2 * PAGE + 5)]
    for name in names:
        bucket.put(f"studio/1/many/{name}")
    many = artifacts.folder_of("mlflow-artifacts:/1/many")
    assert [entry.name for entry in many.entries()] == names
    assert [entry.name for entry in many.files()] == names


def test_a_file_is_told_of_and_read(run: artifacts.Folder) -> None:
    entry = run.entry("plots/loss.png")
    assert (entry.name, entry.is_folder, entry.size, entry.kind) == ("loss.png", False, 14, "image/png")  # fmt: skip
    assert run.entry("plots").is_folder and run.entry("").is_folder
    assert run.head("notes.txt", 5) == b"notes" and run.head("notes.txt", 100) == b"notes.txt"
    assert b"".join(run.pieces("größe & <b>.txt")).decode() == "größe & <b>.txt"


def test_what_is_put_is_there_whole(run: artifacts.Folder, tmp_path: Path) -> None:
    content = secrets.token_bytes(20 * MB)  # in several parts
    (tmp_path / "big.bin").write_bytes(content)
    run.put("deep/er/big.bin", tmp_path / "big.bin")
    (tmp_path / "empty").touch()
    run.put("empty", tmp_path / "empty")
    counted: list[int] = []
    run.copy("deep/er/big.bin", tmp_path / "copy", counted.append)
    assert hashlib.sha256((tmp_path / "copy").read_bytes()).digest() == hashlib.sha256(content).digest()  # fmt: skip
    assert sum(counted) == len(content) and len(counted) > 10
    assert run.head("empty", 10) == b"" and list(run.pieces("empty")) == []
    for path in ("", "../x", "/x", "a/"):
        with pytest.raises(NotFound):
            run.put(path, tmp_path / "empty")


def test_a_copy_ends_when_its_listener_says_so(run: artifacts.Folder, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(20 * MB))
    run.put("big.bin", tmp_path / "big.bin")

    def refuse(count: int) -> None:
        raise InterruptedError("enough")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # boto3's, of what it no longer reads
        with pytest.raises(InterruptedError, match="enough"):
            run.copy("big.bin", tmp_path / "copy", refuse)
        gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]


def test_a_whole_bucket_may_be_studios(bucket: Server, settings: Settings) -> None:
    settings.ARTIFACTS = "s3://team"
    bucket.put("1/run/x.txt")
    assert [entry.path for entry in artifacts.root().files()] == ["1/run/x.txt"]
    assert artifacts.folder_of("s3://team/1/run").entry("x.txt").size == 1
    for address in ("s3://team", "s3://team/", "s3://elsewhere/1", "s3://team-evil/1"):
        with pytest.raises(NotFound):
            artifacts.folder_of(address)


def told(folder: artifacts.Folder) -> str:
    with pytest.raises(Unavailable) as away:
        folder.check()
    assert SECRET not in away.value.message
    return away.value.message


def test_a_store_that_answers_is_in_reach(bucket: Server) -> None:
    artifacts.root().check()  # also while it is empty


def test_a_bucket_that_is_not_there_is_named(bucket: Server, settings: Settings) -> None:
    settings.ARTIFACTS = "s3://nowhere/studio"
    assert told(artifacts.root()) == (
        "The artifact store is out of reach: s3://nowhere (STUDIO_ARTIFACTS) does not exist. Try again when it is back."
    )


def test_a_store_that_does_not_answer_is_told_with_its_address(
    bucket: Server, anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", dead)
    anew()
    assert f"does not answer at {dead} (EndpointConnectionError)" in told(artifacts.root())


def test_a_store_that_takes_calls_and_never_answers_is_not_waited_for_long(
    bucket: Server, anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3._ASK_PATIENCE <= 5
    monkeypatch.setattr(s3, "_ASK_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
        anew()
        assert f"does not answer at {address} (ReadTimeoutError)" in told(artifacts.root())


def test_a_key_that_is_missing_is_told(
    bucket: Server, anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    anew()
    assert "needs a key: set AWS_ACCESS_KEY_ID" in told(artifacts.root())


def test_a_key_that_the_store_refuses_is_told_and_kept_back(bucket: Server, refusing: None) -> None:
    message = told(artifacts.root())
    assert "refuses the key that Studio has (InvalidAccessKeyId): see AWS_ACCESS_KEY_ID" in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [("MLFLOW_S3_ENDPOINT_URL", "minio:9000"), ("MLFLOW_S3_ENDPOINT_URL", "http://user:hidden@[x"),
     ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{"), ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "[1]")],
)  # fmt: skip
def test_a_variable_of_mlflows_that_cannot_be_right_is_named(
    bucket: Server, anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as given:
        given.setenv(name, value)
        anew()
        message = told(artifacts.root())
    assert name in message and "hidden" not in message


def test_a_store_that_cannot_be_used_stops_the_start_with_one_line(
    server: Server, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT, env=environment(tmp_path, 1, 2) | server.environment | {"STUDIO_ARTIFACTS": "s3://nowhere"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.strip() == (
        "CommandError: The artifact store is out of reach: s3://nowhere (STUDIO_ARTIFACTS) does not exist. "
        "Try again when it is back."
    )


def test_a_store_that_goes_and_comes_back_is_noticed_without_waiting(
    bucket: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_WATCH", artifacts._Watch())
    monkeypatch.setattr(artifacts, "_LOOK_AGAIN", 0.0)
    httpx.post(f"{bucket.url}/moto-api/reset")
    assert artifacts.trouble() == ""  # nobody has looked yet
    assert "does not exist" in until(artifacts.trouble, "it is noticed")
    bucket.empty()
    until(lambda: artifacts.trouble() == "", "it is well again")
