"""The stores that MLflow's server is given: one of local files that stays where it is, and no other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repository_registry as known
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from studio.lib.s3 import is_below
from studio.mlflow.walls import Registry, is_own

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its libraries
SECRET = "only-the-machine-may-know"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all artifacts, with a run's in it and a secret beside it."""
    folder = tmp_path / "artifacts"
    (folder / "run" / "plots").mkdir(parents=True)
    (folder / "run" / "plots" / "loss.png").write_text("png")
    (folder / "run" / "50%25.txt").write_text("per cent")
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "elsewhere").mkdir()
    registry = Registry(folder.as_uri(), known.get_registered_artifact_repositories())
    monkeypatch.setattr(known, "_artifact_repository_registry", registry)
    return folder


@pytest.fixture
def run(root: Path) -> Any:
    return get_artifact_repository((root / "run").as_uri())


@pytest.fixture(autouse=True)
def untouched(tmp_path: Path) -> Iterator[None]:
    yield
    if (tmp_path / "secret").exists():
        assert (tmp_path / "secret").read_text() == SECRET
        assert list((tmp_path / "elsewhere").iterdir()) == []


def names(infos: list[Any]) -> list[str]:
    return [info.path for info in infos]


@pytest.mark.parametrize(
    "written", ["file://{root}/run", "file://localhost{root}/run", "{root}/run"]
)
def test_a_folder_below_the_root_is_opened(root: Path, written: str) -> None:
    store = get_artifact_repository(written.format(root=root))
    assert names(store.list_artifacts()) == ["50%25.txt", "plots"]
    assert names(store.list_artifacts("plots")) == ["plots/loss.png"]
    assert Path(store.get_local_path("plots/loss.png")).read_text() == "png"


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc", "/etc", "etc", "", ".", "file:", "file:etc", "FILE:///etc", "file://host/run",
        "file://{root}/../secret", "file://{root}/%2e%2e/elsewhere", "file://{root}/run%00", "{root}\0",
        "file://{root}-too", "http://127.0.0.1:1/x", "https://x/y", "ftp://x/y", "sftp://x/y", "s3://x/y",
        "gs://x/y", "r2://x@y/z", "b2://x@y/z", "dbfs:/x", "dbfs:/Volumes/a/b/c", "hdfs://x/y", "viewfs:/x",
        "wasbs://x@y/z", "abfss://x@y/z", "runs:/x/y", "models:/x/1", "models:/m-1", "mlflow-artifacts:/run",
        "mlflow-artifacts://host/run", "databricks://x", "plugin://x", "postgresql://x", "C:\\x", "s3://[x",
    ],
)  # fmt: skip
def test_no_other_address_is(root: Path, address: str) -> None:
    with pytest.raises(MlflowException, match="does not lie below STUDIO_ARTIFACTS") as refused:
        get_artifact_repository(address.format(root=root))
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    "path", ["..", "../..", "../secret", "/etc/passwd", "plots/../../../secret", "out", "out/secret", "pipe", "loop"]
)  # fmt: skip
def test_no_path_leads_out(root: Path, run: Any, tmp_path: Path, path: str) -> None:
    """Here the store alone is asked: what stands before it in MLflow's routes is no excuse."""
    (root / "run" / "out").symlink_to(tmp_path)
    (root / "run" / "loop").symlink_to("loop")
    os.mkfifo(root / "run" / "pipe")
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "new.txt").write_text("evil")
    down = tmp_path / "down"
    down.mkdir()
    attempts: list[Callable[[], Any]] = [
        lambda: run.get_local_path(path),
        lambda: run.list_artifacts(path),
        lambda: run.download_artifacts(path, str(down)),
        lambda: run.download_artifacts(path),
        lambda: run.delete_artifacts(path),
        lambda: run.log_artifact(str(tmp_path / "sent" / "new.txt"), path),
        lambda: run.log_artifacts(str(tmp_path / "sent"), path),
    ]
    for attempt in attempts:
        with pytest.raises(MlflowException):
            attempt()
    assert list(down.iterdir()) == []
    assert not (tmp_path / "new.txt").exists()


def test_a_link_within_a_folder_of_files_leads_out_neither(
    root: Path, run: Any, tmp_path: Path
) -> None:
    (root / "run" / "plots" / "away").symlink_to(tmp_path / "elsewhere")
    (root / "run" / "plots" / "file").symlink_to(tmp_path / "secret")
    (tmp_path / "sent" / "away").mkdir(parents=True)
    (tmp_path / "sent" / "away" / "x").write_text("evil")
    assert names(run.list_artifacts("plots")) == ["plots/loss.png"]
    with pytest.raises(MlflowException):
        run.log_artifacts(str(tmp_path / "sent"), "plots")
    down = tmp_path / "down"
    down.mkdir()
    run.download_artifacts("plots", str(down))
    assert [path.name for path in (down / "plots").iterdir()] == ["loss.png"]
    run.delete_artifacts("plots")
    assert not (root / "run" / "plots").exists()


def test_a_trace_is_not_read_through_a_link(root: Path, tmp_path: Path) -> None:
    store = get_artifact_repository(str(root / "run"))
    (root / "run" / "traces.json").symlink_to(tmp_path / "secret")
    with pytest.raises(MlflowException, match="STUDIO_ARTIFACTS"):
        store.download_trace_data()


def test_a_folder_that_becomes_a_link_is_no_longer_opened(
    root: Path, run: Any, tmp_path: Path
) -> None:
    (root / "run").rename(root / "before")
    (root / "run").symlink_to(tmp_path)
    for attempt in (run.list_artifacts, lambda: run.get_local_path("secret"), run.delete_artifacts):
        with pytest.raises(MlflowException):
            attempt()


def test_what_is_deleted_is_what_was_named(root: Path, run: Any) -> None:
    """MLflow decodes the name once more, and so deletes another file."""
    (root / "run" / "50%.txt").write_text("another")
    run.delete_artifacts("50%25.txt")
    assert names(run.list_artifacts()) == ["50%.txt", "plots"]
    run.delete_artifacts("plots")
    run.delete_artifacts("plots")  # gone already
    assert names(run.list_artifacts()) == ["50%.txt"]


@pytest.mark.parametrize("path", [None, "", ".", "run/.."])
def test_the_root_itself_is_not_deleted(root: Path, path: str | None) -> None:
    with pytest.raises(MlflowException, match="cannot be deleted"):
        get_artifact_repository(root.as_uri()).delete_artifacts(path)
    assert (root / "run").exists()


def test_a_root_that_is_a_link_works(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    registry = Registry(link.as_uri(), {})
    monkeypatch.setattr(known, "_artifact_repository_registry", registry)
    assert names(get_artifact_repository(str(link / "run")).list_artifacts("plots"))
    assert names(get_artifact_repository(str(root / "run")).list_artifacts("plots"))


def test_what_cannot_be_told_is_left_out(root: Path, run: Any) -> None:
    (root / "run" / os.fsdecode(b"latin-\xff")).touch()
    (root / "run" / "nowhere").symlink_to("missing")
    (root / "run" / ".artifact.uploading.x").touch()
    (root / "run" / "inside").symlink_to("plots")
    assert names(run.list_artifacts()) == ["50%25.txt", "inside", "plots"]


@pytest.mark.parametrize(
    ("address", "below"),
    [
        ("s3://bucket/studio", True), ("s3://bucket/studio/1/run", True), ("s3://bucket/studio/a%20b", True),
        ("s3://bucket/studious", False), ("s3://bucket", False), ("s3://other/studio/1", False),
        ("s3://bucket/studio/../x", False), ("s3://bucket/studio/%2e%2e/x", False),
        ("s3://bucket/studio/%25252e%25252e/x", False), ("s3://bucket/studio/..%5Cx", False),
        ("s3://bucket/studio/1#x", False), ("s3://bucket/studio/1?x", False), ("gs://bucket/studio/1", False),
        ("s3://user@bucket/studio/1", False), ("/bucket/studio", False), ("s3://[x", False),
        ("s3://bucket/%73tudio/1", False), ("s3://bucket//studio/1", False), ("s3://bucket/studio\\1", False),
        ("s3://bucket/studio%2f1", False), ("s3://bucket/studio/1?", False), ("S3://bucket/studio/1", False),
        ("s3://bucket/studio/\t1", False), ("s3://bucket/studio/1\0", False), ("s3://bucket:1/studio/1", False),
    ],
)  # fmt: skip
def test_with_an_object_store_only_its_own_prefix_is_opened(address: str, below: bool) -> None:
    registry = Registry("s3://bucket/studio", {"s3": None, "gs": None})
    assert is_below(address, "s3://bucket/studio") is below
    if below:
        assert registry.get_artifact_repository(address).artifact_uri == address
    else:
        with pytest.raises(MlflowException, match="STUDIO_ARTIFACTS"):
            registry.get_artifact_repository(address)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("mlflow-artifacts:/1/run", True), ("mlflow-artifacts:1", True), ("mlflow-artifacts://host/1", False),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1", False), ("file:///x", False), ("x://[", False),
    ],
)  # fmt: skip
def test_only_an_address_without_a_host_is_of_this_proxy(address: str, own: bool) -> None:
    assert is_own(address) is own


def test_mlflow_opens_local_artifacts_nowhere_else() -> None:
    """A use of its store of local files, or of an address as a path, that is new must be judged, and walled."""
    source = Path(mlflow.__file__).parent
    use = re.compile(r"(?<!class )LocalArtifactRepository\(|(?<!def )local_file_uri_to_path\(")
    folders = (source / "server", source / "store")
    files = [file for folder in folders for file in folder.rglob("*.py")]
    uses = {
        file.relative_to(source).as_posix(): len(use.findall(file.read_text())) for file in files
    }
    assert {name: count for name, count in uses.items() if count} == {
        "server/handlers.py": 4,  # compares a version's source with its run's folder, opens neither
        "store/_unity_catalog/registry/uc_oss_rest_store.py": 1,  # another kind of registry
        "store/artifact/unity_catalog_oss_models_artifact_repo.py": 1,  # of that registry
        "store/artifact/uc_volume_artifact_repo.py": 1,  # dbfs:, refused
        "store/artifact/dbfs_artifact_repo.py": 1,  # dbfs:, refused
        "store/artifact/local_artifact_repo.py": 2,  # itself: Folder does both in its own way
        "store/model_registry/file_store.py": 1,  # another kind of database
        "store/tracking/file_store.py": 1,  # the same
        "store/tracking/sqlalchemy_store.py": 1,  # takes an address apart, opens nothing
    }
