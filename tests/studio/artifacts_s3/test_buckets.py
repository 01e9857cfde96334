"""MLflow's class for S3 as Studio gives it: one prefix of one bucket, and failures that say what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.entities.multipart_upload import MultipartUploadPart
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repository_registry as known
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from studio.mlflow import serve
from studio.mlflow.buckets import Bucket
from studio.mlflow.walls import Registry
from tests.support.live import ROOT
from tests.support.processes import free_port
from tests.support.s3 import Server

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its libraries


@pytest.fixture
def run(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run's folder, with another's beside it and secrets outside."""
    registry = Registry("s3://team/studio", known.get_registered_artifact_repositories())
    monkeypatch.setattr(known, "_artifact_repository_registry", registry)
    for key in (
        "studio/1/run/plots/loss.png",
        "studio/1/run/notes.txt",
        "studio/1/run-2/x",
        "secret",
    ):
        bucket.put(key)
    bucket.put("studio/1/run/notes.txt", b"", bucket="elsewhere")
    return get_artifact_repository("s3://team/studio/1/run")


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "new.txt").write_text("new")
    return folder


def status(attempt: Callable[[], Any]) -> int:
    with pytest.raises(MlflowException) as refused:
        attempt()
    return int(refused.value.get_http_status_code())


def names(infos: list[Any]) -> list[str]:
    return [info.path for info in infos]


def test_files_come_and_go(bucket: Server, run: Any, sent: Path, tmp_path: Path) -> None:
    assert isinstance(run, Bucket)
    run.log_artifact(str(sent / "new.txt"), "deep/er")
    run.log_artifacts(str(sent))
    assert names(run.list_artifacts()) == ["deep", "new.txt", "notes.txt", "plots"]
    assert Path(run.download_artifacts("deep/er/new.txt", str(tmp_path))).read_text() == "new"
    run.delete_artifacts("deep")
    run.delete_artifacts("plots/")
    assert bucket.keys("studio/1/run/") == ["studio/1/run/new.txt", "studio/1/run/notes.txt"]


@pytest.mark.parametrize(
    "path", ["..", "../run-2", "/etc", "a//b", "./x", "x/..", "\0", "x\0", "\ud800"]
)
def test_no_path_leads_out(bucket: Server, run: Any, sent: Path, path: str) -> None:
    before = bucket.keys()
    new = str(sent / "new.txt")
    attempts: list[Callable[[], Any]] = [
        lambda: run.list_artifacts(path),
        lambda: run.download_artifacts(path),
        lambda: run.delete_artifacts(path),
        lambda: run.log_artifact(new, path),
        lambda: run.log_artifacts(str(sent), path),
        lambda: run.create_multipart_upload(new, 1, path),
        lambda: run.complete_multipart_upload(new, "x", [], path),
        lambda: run.abort_multipart_upload(new, "x", path),
        lambda: run.create_presigned_upload_url(path),
        lambda: run.get_download_presigned_url(path),
    ]
    assert [status(attempt) for attempt in attempts] == [400] * len(attempts)
    assert bucket.keys() == before


@pytest.mark.parametrize("name", ["", "..", ".", "x/..", "x/", "/"])
def test_an_upload_in_parts_has_a_name(run: Any, name: str) -> None:
    assert status(lambda: run.create_multipart_upload(name, 1, "a")) == 400


@pytest.mark.parametrize("count", [0, -1, 10_001, 2**40])
def test_an_upload_has_as_many_parts_as_s3_takes(run: Any, count: int) -> None:
    assert status(lambda: run.create_multipart_upload("x", count, "a")) == 400


def test_what_has_a_name_that_no_file_can_have_is_told_to_nobody(
    bucket: Server, run: Any, tmp_path: Path
) -> None:
    for key in ("../../../../x", "a/../b", "./y", "z//w"):
        bucket.put(f"studio/1/run/{key}")
    assert names(run.list_artifacts()) == ["a", "notes.txt", "plots", "z"]
    run.download_artifacts("", str(tmp_path))
    found = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    assert found == ["notes.txt", "plots/loss.png"]


@pytest.mark.parametrize("address", ["s3://team/studio", "s3://team/studio/"])
def test_the_whole_of_it_is_not_deleted(bucket: Server, run: Any, address: str) -> None:
    before = bucket.keys()
    assert status(get_artifact_repository(address).delete_artifacts) == 400
    assert bucket.keys() == before


def test_what_is_not_there_is_not_found(run: Any) -> None:
    assert status(lambda: run.download_artifacts("missing.txt")) == 404
    assert status(lambda: run.get_download_presigned_url("missing.txt")) == 404


def test_parts_that_never_came_are_the_clients_fault(run: Any) -> None:
    made = run.create_multipart_upload("big.bin", 2, "a")
    never = [MultipartUploadPart(1, "no-such-etag")]
    assert (
        status(lambda: run.complete_multipart_upload("big.bin", made.upload_id, never, "a")) == 400
    )
    assert status(lambda: run.abort_multipart_upload("other.bin", "unknown", "a")) == 400


def test_an_address_without_a_permission_does_not_last(run: Any) -> None:
    url = run.get_download_presigned_url("notes.txt", 7 * 24 * 3600).url
    assert httpx.URL(url).params["X-Amz-Expires"] == "3600"
    made = run.create_presigned_upload_url("new.txt", 7 * 24 * 3600)
    assert httpx.URL(made.presigned_url).params["X-Amz-Expires"] == "3600"


def test_a_store_that_is_away_is_told(
    run: Any, sent: Path, anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    anew()
    attempts = [run.list_artifacts, lambda: run.log_artifact(str(sent / "new.txt"))]
    for attempt in attempts:
        assert status(attempt) == 503


def test_every_way_into_the_store_is_judged() -> None:
    """A method of MLflow's class that is new must be walled, if it takes a path."""
    own = {name for name in vars(S3ArtifactRepository) if not name.startswith("__")}
    assert own - set(vars(Bucket)) == {
        "parse_s3_compliant_uri", "get_s3_file_upload_extra_args",  # ask nobody
        "_upload_file",  # called by the others
        "_verify_listed_object_contains_artifact_path_prefix",
        "upload_archived_trace_data_bytes",  # a name of its own
    }  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
def test_files_pass_through_a_folder_that_begins_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    if not given:
        monkeypatch.delenv("TMPDIR")
    folder = tmp_path / "passing-through"
    folder.mkdir()
    (folder / "left by a killed one").touch()
    serve._own_temporary_folder(folder)
    assert os.environ["TMPDIR"] == ("/elsewhere" if given else str(folder))
    assert given or (list(folder.iterdir()) == [] and folder.stat().st_mode & 0o777 == 0o700)


def test_who_keeps_artifacts_in_a_folder_never_pays_for_boto3() -> None:
    """26 MB and a third of a second in each process: it is imported where it is used."""
    sources = [
        path
        for folder in ("studio", "tracking", "registry", "endpoints")
        for path in (ROOT / folder).rglob("*.py")
    ]
    at_once = re.compile(r"^(import|from) (boto3|botocore|s3transfer)\b", re.MULTILINE)
    assert len(sources) > 100 and not [path for path in sources if at_once.search(path.read_text())]
