"""Nothing outside STUDIO_ARTIFACTS is ever opened, whatever an address says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_django import Settings

from studio.lib.artifacts import entries, folder_of, open_path
from studio.lib.errors import NotFound


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    """STUDIO_ARTIFACTS with one run's folder in it, and a secret beside it."""
    settings.ARTIFACTS = tmp_path / "artifacts"
    folder = tmp_path / "artifacts" / "1" / "run"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "loss.png").write_bytes(b"png")
    (folder / "notes.txt").write_text("twelve chars")
    (folder / "größe & <b>.txt").write_text("x")
    (tmp_path / "artifacts" / "2").mkdir()
    (tmp_path / "artifacts" / "2" / "other.txt").write_text("another run's")
    (tmp_path / "artifacts-too").mkdir()
    (tmp_path / "secret").write_text("secret")
    return folder


def test_an_address_of_mlflows_is_a_folder_below_the_root(root: Path) -> None:
    assert folder_of("mlflow-artifacts:/1/run") == root
    assert folder_of("mlflow-artifacts:/1/r%75n") == root
    assert folder_of(root.as_uri()) == root
    assert folder_of(str(root)) == root
    assert folder_of(f"file://localhost{root}") == root
    assert folder_of("mlflow-artifacts:/1/later") == root.parent / "later"


@pytest.mark.parametrize(
    "address",
    [
        "",
        ".",
        "/",
        "mlflow-artifacts:/",
        "mlflow-artifacts:",
        "file:",
        "file:///etc",
        "FILE:///etc/passwd",
        "file:/etc",
        "file://localhost/etc",
        "file://elsewhere/1/run",
        "/etc",
        "//etc/passwd",
        "../secret",
        "1/run",
        "~/secret",
        "file:1/run",
        "mlflow-artifacts:/2/../1/run",
        "mlflow-artifacts:/1/run/%2e%2e/%2e%2e/2",
        "mlflow-artifacts:/..",
        "mlflow-artifacts:/../secret",
        "mlflow-artifacts:/1/../../secret",
        "mlflow-artifacts:/%2e%2e/secret",
        "mlflow-artifacts:/1/%2E%2E%2F%2E%2E%2Fsecret",
        "mlflow-artifacts:/../artifacts-too",
        "mlflow-artifacts://elsewhere/1/run",
        "mlflow-artifacts://elsewhere:5000/1/run",
        "mlflow-artifacts:/1/run\0",
        "mlflow-artifacts:/1/run%00",
        "s3://bucket/1/run",
        "gs://bucket",
        "https://example.com/1/run",
        "dbfs:/1/run",
        "runs:/abc/model",
        "models:/churn/1",
        "s3://[open",
        "javascript:alert(1)",
    ],
)
def test_another_address_is_refused(root: Path, address: str) -> None:
    with pytest.raises(NotFound):
        folder_of(address)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../../2/other.txt",
        "plots/../../../2/other.txt",
        "/etc/passwd",
        "//etc/passwd",
        "%2e%2e/%2e%2e/2/other.txt",
        "..\\..\\2\\other.txt",
        "plots\\loss.png",
        "notes.txt\0",
        "notes.txt\0.png",
        "\0",
        "file:///etc/passwd",
        "missing",
        "notes.txt/more",
        "x" * 300,
        "x/" * 3000,
    ],
)
def test_a_path_that_leads_out_or_nowhere_is_not_opened(root: Path, path: str) -> None:
    with pytest.raises(NotFound):
        open_path(root, path)


def test_a_path_below_is_opened(root: Path) -> None:
    assert open_path(root, "plots/loss.png").read_bytes() == b"png"
    assert open_path(root, "plots/../notes.txt").read_text() == "twelve chars"
    assert open_path(root, "größe & <b>.txt").read_text() == "x"
    assert open_path(root, "") == root


@pytest.mark.parametrize("target", ["/etc/passwd", "../../2/other.txt", "../../../secret", "../.."])
def test_a_link_that_leads_out_is_neither_opened_nor_listed(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    with pytest.raises(NotFound):
        open_path(root, "link")
    assert "link" not in [entry.name for entry in entries(root)]


def test_a_folder_that_is_a_link_out_is_not_an_artifact_folder(root: Path, tmp_path: Path) -> None:
    (root.parent / "away").symlink_to(tmp_path)
    with pytest.raises(NotFound):
        folder_of("mlflow-artifacts:/1/away")
    with pytest.raises(NotFound):
        open_path(root.parent, "away/secret")


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("notes.txt")
    assert open_path(root, "link").read_text() == "twelve chars"
    assert "link" in [entry.name for entry in entries(root)]


def test_a_root_that_is_a_link_itself_works(root: Path, settings: Settings) -> None:
    link = settings.ARTIFACTS.with_name("link")
    link.symlink_to(settings.ARTIFACTS)
    settings.ARTIFACTS = link
    assert folder_of("mlflow-artifacts:/1/run") == root


def test_what_cannot_be_read_as_a_file_is_left_out(root: Path) -> None:
    (root / "circle").symlink_to("circle")
    (root / "broken").symlink_to("nowhere")
    os.mkfifo(root / "pipe")  # to open it would wait for ever
    (root / os.fsdecode(b"latin-\xff")).touch()
    assert [entry.name for entry in entries(root)] == ["plots", "größe & <b>.txt", "notes.txt"]
    for name in ("circle", "broken", "pipe"):
        with pytest.raises(NotFound):
            open_path(root, name)


def test_a_listing_tells_folders_first_with_paths_and_sizes(root: Path) -> None:
    first, *_, last = entries(root)
    assert (first.name, first.path, first.is_folder, first.size) == ("plots", "plots", True, 0)
    assert (last.name, last.path, last.is_folder, last.size) == (
        "notes.txt",
        "notes.txt",
        False,
        12,
    )
    (picture,) = entries(root, "plots")
    assert (picture.path, picture.kind) == ("plots/loss.png", "image/png")


def test_a_listing_of_what_is_not_a_folder_is_refused(root: Path) -> None:
    for path in ("notes.txt", "missing", "..", "/etc"):
        with pytest.raises(NotFound):
            entries(root, path)


def test_a_run_that_has_logged_nothing_lists_nothing(root: Path) -> None:
    assert entries(root.parent / "later") == []
