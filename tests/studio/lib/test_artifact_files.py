"""Nothing outside STUDIO_ARTIFACTS is ever opened, whatever an address says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_django import Settings

from studio.lib.artifacts import LocalFolder, folder_of
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
    run = LocalFolder(root)
    assert folder_of("mlflow-artifacts:/1/run") == run
    assert folder_of("mlflow-artifacts:/1/r%75n") == run
    assert folder_of(root.as_uri()) == run
    assert folder_of(str(root)) == run
    assert folder_of(f"file://localhost{root}") == run
    assert folder_of("mlflow-artifacts:/1/later") == LocalFolder(root.parent / "later")


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
        LocalFolder(root).open_path(path)


def test_a_path_below_is_opened(root: Path) -> None:
    assert LocalFolder(root).open_path("plots/loss.png").read_bytes() == b"png"
    assert LocalFolder(root).open_path("plots/../notes.txt").read_text() == "twelve chars"
    assert LocalFolder(root).open_path("größe & <b>.txt").read_text() == "x"
    assert LocalFolder(root).open_path("") == root


@pytest.mark.parametrize("target", ["/etc/passwd", "../../2/other.txt", "../../../secret", "../.."])
def test_a_link_that_leads_out_is_neither_opened_nor_listed(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    with pytest.raises(NotFound):
        LocalFolder(root).open_path("link")
    assert "link" not in [entry.name for entry in LocalFolder(root).entries()]


def test_a_folder_that_is_a_link_out_is_not_an_artifact_folder(root: Path, tmp_path: Path) -> None:
    (root.parent / "away").symlink_to(tmp_path)
    with pytest.raises(NotFound):
        folder_of("mlflow-artifacts:/1/away")
    with pytest.raises(NotFound):
        LocalFolder(root.parent).open_path("away/secret")


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("notes.txt")
    assert LocalFolder(root).open_path("link").read_text() == "twelve chars"
    assert "link" in [entry.name for entry in LocalFolder(root).entries()]


def test_a_root_that_is_a_link_itself_works(root: Path, settings: Settings) -> None:
    link = settings.ARTIFACTS.with_name("link")
    link.symlink_to(settings.ARTIFACTS)
    settings.ARTIFACTS = link
    assert folder_of("mlflow-artifacts:/1/run") == LocalFolder(root)


def test_what_cannot_be_read_as_a_file_is_left_out(root: Path) -> None:
    (root / "circle").symlink_to("circle")
    (root / "broken").symlink_to("nowhere")
    os.mkfifo(root / "pipe")  # to open it would wait for ever
    (root / os.fsdecode(b"latin-\xff")).touch()
    assert [entry.name for entry in LocalFolder(root).entries()] == [
        "plots",
        "größe & <b>.txt",
        "notes.txt",
    ]
    for name in ("circle", "broken", "pipe"):
        with pytest.raises(NotFound):
            LocalFolder(root).open_path(name)


def test_a_listing_tells_folders_first_with_paths_and_sizes(root: Path) -> None:
    first, *_, last = LocalFolder(root).entries()
    assert (first.name, first.path, first.is_folder, first.size) == ("plots", "plots", True, 0)
    assert (last.name, last.path, last.is_folder, last.size) == (
        "notes.txt",
        "notes.txt",
        False,
        12,
    )
    (picture,) = LocalFolder(root).entries("plots")
    assert (picture.path, picture.kind) == ("plots/loss.png", "image/png")


def test_a_listing_of_what_is_not_a_folder_is_refused(root: Path) -> None:
    for path in ("notes.txt", "missing", "..", "/etc"):
        with pytest.raises(NotFound):
            LocalFolder(root).entries(path)


def test_a_run_that_has_logged_nothing_lists_nothing(root: Path) -> None:
    assert LocalFolder(root.parent / "later").entries() == []


def test_files_below_are_told_however_deep(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c.bin").write_bytes(b"1234")
    folder = LocalFolder(root)
    told = [(entry.path, entry.size) for entry in folder.files()]
    assert told == [
        ("a/b/c.bin", 4),
        ("größe & <b>.txt", 1),
        ("notes.txt", 12),
        ("plots/loss.png", 3),
    ]
    assert [entry.path for entry in folder.files("a")] == ["a/b/c.bin"]
    (root / "a" / "out").symlink_to("/etc")
    with pytest.raises(NotFound):
        list(folder.files())


def test_a_file_is_read_copied_and_put_whole(root: Path, tmp_path: Path) -> None:
    folder = LocalFolder(root)
    counted: list[int] = []
    assert folder.head("notes.txt", 6) == b"twelve"
    assert b"".join(folder.pieces("notes.txt")) == b"twelve chars"
    folder.copy("notes.txt", tmp_path / "copy", counted.append)
    assert (tmp_path / "copy").read_text() == "twelve chars" and sum(counted) == 12
    folder.put("deep/er/copy.txt", tmp_path / "copy")
    assert folder.head("deep/er/copy.txt", 100) == b"twelve chars"
    assert [child.name for child in (root / "deep" / "er").iterdir()] == ["copy.txt"]


@pytest.mark.parametrize("path", ["..", "../x", "/etc/x", "plots", "", "out/x", "x\0"])
def test_nothing_is_put_elsewhere(root: Path, tmp_path: Path, path: str) -> None:
    (root / "out").symlink_to(tmp_path)
    (tmp_path / "source").write_text("evil")
    with pytest.raises(NotFound):
        LocalFolder(root).put(path, tmp_path / "source")
    assert sorted(child.name for child in tmp_path.iterdir()) == [
        "artifacts",
        "artifacts-too",
        "secret",
        "source",
    ]


def test_a_folder_is_no_file(root: Path, tmp_path: Path) -> None:
    folder = LocalFolder(root)
    for attempt in (
        lambda: folder.head("plots", 1),
        lambda: folder.pieces("plots"),
        lambda: folder.copy("", tmp_path / "x"),
    ):
        with pytest.raises(NotFound):
            attempt()
