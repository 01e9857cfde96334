"""A run's files: browsed, looked into and downloaded, and never a part of this site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from pytest_django import Settings

from tests.support.pages import page
from tracking.models import Run

OUTSIDE = [
    "..",
    "../../secret",
    "/etc/passwd",
    "link",
    "%2e%2e/secret",
    "..\\secret",
    "x" * 300,
    "no",
]


@pytest.fixture
def run(
    make_experiment: Callable[..., Any], make_run: Callable[..., Run],
    settings: Settings, tmp_path: Path,
) -> Run:  # fmt: skip
    settings.ARTIFACTS = tmp_path / "artifacts"
    return make_run(make_experiment(), "resnet")


@pytest.fixture
def folder(run: Run, settings: Settings) -> Path:
    folder = settings.ARTIFACTS / (run.artifact_uri or "").removeprefix("mlflow-artifacts:/")
    folder.mkdir(parents=True)
    assert isinstance(folder, Path)
    return folder


def download(client: Client, run: Run, path: str, **query: str) -> StreamingHttpResponse:
    response = client.get(f"/runs/{run.pk}/download/", {"path": path} | query)
    assert response.status_code == 200
    assert isinstance(response, StreamingHttpResponse)
    return response


def test_a_folder_is_browsed_level_by_level(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "a b" / "größe & co").mkdir(parents=True)
    (folder / "a b" / "größe & co" / "x.txt").write_text("deep")
    (folder / "top.txt").write_text("twelve chars")
    top = page(as_alice.get(f"/runs/{run.pk}/", {"tab": "artifacts"}))
    assert [text for text in top.texts("span") if text in ("a b", "top.txt")] == ["a b", "top.txt"]
    assert "12 bytes" in top.texts("small")
    (opener,) = [d["hx-get"] for d in top.all("details") if "hx-get" in d.attributes]
    second = page(as_alice.get(opener))
    (opener,) = [d["hx-get"] for d in second.all("details")]
    third = page(as_alice.get(opener))
    (file,) = third.all("a")
    assert "deep" in as_alice.get(file["hx-get"]).content.decode()
    assert as_alice.get(file["href"]).getvalue() == b"deep"


def test_a_folder_without_files_says_so(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "empty").mkdir()
    answer = as_alice.get(f"/runs/{run.pk}/artifacts/", {"path": "empty"})
    assert page(answer).texts("li") == ["Empty"]


@pytest.mark.parametrize("kind", ["artifacts", "preview", "download"])
@pytest.mark.parametrize("path", OUTSIDE)
def test_what_lies_outside_is_404(
    as_alice: Client, run: Run, folder: Path, settings: Settings, kind: str, path: str
) -> None:
    secret = settings.ARTIFACTS / "secret"
    secret.write_text("secret")
    (folder / "link").symlink_to(secret)
    response = as_alice.get(f"/runs/{run.pk}/{kind}/", {"path": path})
    assert response.status_code == 404
    assert b"root:" not in response.content


@pytest.mark.parametrize(
    "address", [None, "", "file:///etc", "s3://bucket/x", "s3://[x", "mlflow-artifacts:/", "/etc"]
)
def test_another_store_is_named_and_never_opened(
    as_alice: Client, run: Run, folder: Path, address: str | None
) -> None:
    Run.objects.filter(pk=run.pk).update(artifact_uri=address)
    shown = as_alice.get(f"/runs/{run.pk}/", {"tab": "artifacts"})
    assert shown.status_code == 200
    assert "STUDIO_ARTIFACTS" in shown.content.decode()
    assert page(shown).all("details")[1:] == []  # but for the menu
    for kind in ("preview", "download"):
        answer = as_alice.get(f"/runs/{run.pk}/{kind}/", {"path": "passwd"})
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "name", ["page.html", "image.svg", "script.js", "x.xml", "noending", "a.png"]
)
def test_a_file_comes_as_a_sandboxed_download(
    as_alice: Client, run: Run, folder: Path, name: str
) -> None:
    (folder / name).write_bytes(b"<script>alert(1)</script>")
    response = download(as_alice, run, name)
    assert response.getvalue() == b"<script>alert(1)</script>"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == "25"


def test_only_an_image_is_shown_in_the_page(as_alice: Client, run: Run, folder: Path) -> None:
    for name in ("plot.png", "plot.svg", "page.html"):
        (folder / name).write_bytes(b"x")
    image = download(as_alice, run, "plot.png", inline="")
    assert image.getvalue() == b"x"
    assert image["Content-Type"] == "image/png"
    assert image["Content-Disposition"].startswith("inline")
    assert image["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert image["X-Content-Type-Options"] == "nosniff"
    for name in ("plot.svg", "page.html"):
        other = download(as_alice, run, name, inline="")
        assert other["Content-Type"] == "application/octet-stream"
        assert other["Content-Disposition"].startswith("attachment")
        assert other.getvalue() == b"x"


def test_a_download_streams(as_alice: Client, run: Run, folder: Path) -> None:
    with (folder / "big.bin").open("wb") as file:
        file.truncate(50_000_000)
    response = download(as_alice, run, "big.bin")
    assert response.streaming
    pieces = [len(piece) for piece in response]
    assert max(pieces) < 100_000
    assert sum(pieces) == int(response["Content-Length"]) == 50_000_000


@pytest.mark.parametrize(
    "name",
    ['quo"te.txt', "größe ✓.txt", "semi;colon", "per%20cent", "new\nline.txt", "back\\slash"],
)
def test_a_file_of_any_name_is_downloaded(
    as_alice: Client, run: Run, folder: Path, name: str
) -> None:
    (folder / name).write_bytes(b"here")
    (link,) = page(as_alice.get(f"/runs/{run.pk}/artifacts/")).all("a")
    response = as_alice.get(link["href"])
    assert response.getvalue() == b"here"
    assert "attachment" in response["Content-Disposition"]
    assert "here" in as_alice.get(link["hx-get"]).content.decode()


def preview(client: Client, run: Run, path: str) -> str:
    response = client.get(f"/runs/{run.pk}/preview/", {"path": path})
    assert response.status_code == 200
    return response.content.decode()


def test_text_is_shown_escaped(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "a.html").write_text("<script>alert('ü')</script>")
    content = preview(as_alice, run, "a.html")
    assert "&lt;script&gt;alert(&#x27;ü&#x27;)&lt;/script&gt;" in content
    assert "<script" not in content


def test_the_beginning_of_a_long_text_is_shown(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "long.txt").write_text("é" * 200_000)
    content = preview(as_alice, run, "long.txt")
    assert "Only the beginning is shown." in content
    assert len(content) < 70_000
    (folder / "short.txt").write_text("x" * 1000)
    assert "Only the beginning" not in preview(as_alice, run, "short.txt")


def test_what_is_not_text_is_not_shown(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"\x80\x04\x00\x00text")
    assert "This is not text" in preview(as_alice, run, "model.pkl")


def test_text_in_another_encoding_is_shown_as_far_as_it_goes(
    as_alice: Client, run: Run, folder: Path
) -> None:
    (folder / "latin.txt").write_bytes("größe".encode("latin-1"))
    assert "gr�" in preview(as_alice, run, "latin.txt")


def test_an_image_is_shown_from_its_download(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "a b&c.png").write_bytes(b"png")
    (image,) = page(as_alice.get(f"/runs/{run.pk}/preview/", {"path": "a b&c.png"})).all("img")
    response = as_alice.get(image["src"])
    assert (response["Content-Type"], response.getvalue()) == ("image/png", b"png")


def test_an_empty_file_has_a_preview(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "empty.txt").touch()
    assert "<pre" in preview(as_alice, run, "empty.txt")


@pytest.mark.parametrize("kind", ["preview", "download"])
@pytest.mark.parametrize("path", ["", "plots", "."])
def test_a_folder_is_neither_shown_nor_downloaded(
    as_alice: Client, run: Run, folder: Path, kind: str, path: str
) -> None:
    (folder / "plots").mkdir()
    assert as_alice.get(f"/runs/{run.pk}/{kind}/", {"path": path}).status_code == 404


def test_a_file_is_not_browsed(as_alice: Client, run: Run, folder: Path) -> None:
    (folder / "a.txt").touch()
    assert as_alice.get(f"/runs/{run.pk}/artifacts/", {"path": "a.txt"}).status_code == 404
