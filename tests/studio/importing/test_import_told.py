"""What is told of a source holds no password and no orders to the terminal, and what it sends fits the memory."""

from __future__ import annotations

import base64
import gzip
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from studio.importing import addresses, transfer, words
from studio.importing.report import Report
from studio.importing.sources import calls
from studio.importing.writer import Writer
from tests.studio.importing.conftest import Import
from tests.studio.importing.test_import_hostile_server import Liar, liar  # noqa: F401 - a fixture
from tests.support.filestore import write_store
from tracking.models import Run

ORDERS = "\x1b]0;owned\x07\x1b[2J"


def test_a_source_gives_the_terminal_no_orders(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.jsonl")
    report.left("run", ORDERS, f"the server does not give it: {ORDERS}{'x' * 5000}")
    report.note("registered model", ORDERS, f"merged {ORDERS}")
    lines = list(words.summary(report, 1.0, dry=False))
    report.close()
    assert any("merged" in line for line in lines)
    assert any("does not give it" in line for line in lines)
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


def test_nor_does_a_server_that_is_none_of_mlflows(
    importing: Import,
    liar: Liar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = 500, b'{"message": "\\u001b[2J no"}'
    monkeypatch.setattr(calls.Calls, "_ask", lambda *given, **more: answer)
    done = importing(liar.url)
    assert done.code == 1
    assert "?[2J no" in done.words


def test_the_password_in_a_servers_address_is_used_and_not_told(
    importing: Import,
    liar: Liar,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    address = liar.url.replace("//", "//alice:a-pass%20word@")
    done = importing(address)
    assert done.code == 3
    sent = base64.b64encode(b"alice:a-pass word").decode()
    assert {told for _, told in liar.asked} == {f"Basic {sent}"}
    liar.change = lambda path, run, answer: b"<html>hello</html>"
    refused = importing(address)
    assert liar.url in refused.words
    report = tmp_path / "report.jsonl"
    for told in (done.words, refused.words, caplog.text, report.read_text()):
        assert "a-pass" not in told


def test_the_password_in_an_address_of_files_is_kept_nowhere(
    importing: Import, tmp_path: Path
) -> None:
    store = write_store(tmp_path, runs=1, points=2)
    [run] = [child for child in (store / "1").iterdir() if child.is_dir()]
    (run / "artifacts" / "file-0.txt").unlink()
    (run / "artifacts").rmdir()
    meta = (run / "meta.yaml").read_text().splitlines()
    address = "artifact_uri: ftp://bob:a-password@files.example.com/1/artifacts"
    (run / "meta.yaml").write_text("\n".join([address, *meta[1:]]))
    report = tmp_path / "report.jsonl"
    report.touch(0o644)
    done = importing(store)
    assert done.code == 3
    assert Run.objects.get().artifact_uri == "elsewhere:ftp://files.example.com/1/artifacts"
    assert "ftp://files.example.com" in done.words
    assert "ftp://files.example.com/1/artifacts" in report.read_text()
    assert "a-password" not in done.words + report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://token@host/a@b", "https://host/a@b"),
        ("https://a:b@c@host", "https://host"),
        ("elsewhere:SFTP://a:b@host/x", "elsewhere:SFTP://host/x"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        # No name of a user, but of a container.
        ("abfss://models@account.example.com/x", "abfss://models@account.example.com/x"),
        ("/a/path//with@sign", "/a/path//with@sign"),
    ],
)
def test_an_address_is_told_without_a_user(address: str, told: str) -> None:
    assert addresses.public(address) == told


def test_an_answer_that_is_too_large_costs_its_run(
    importing: Import,
    liar: Liar,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "_LARGEST", 1 << 20)

    def change(path: str, run: str, honest: Any) -> Any:
        if (path, run) == ("runs/get", "b" * 32):
            return honest | {"more": "x" * (2 << 20)}
        return honest

    liar.change = change
    done = importing(liar.url)
    assert "its answer is larger than 1 MB" in done.reasons("run")["b" * 32]
    assert Run.objects.count() == 2


def test_what_a_packed_answer_unpacks_to_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_LARGEST", 1 << 20)
    packed = gzip.compress(bytes(2 << 20))
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=packed)
    with pytest.raises(calls.Answered, match="larger than 1 MB"):
        calls._held(answer)


def test_runs_with_much_text_come_in_smaller_batches(
    importing: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path, runs=3, points=2)
    for run in (store / "1").iterdir():
        if run.is_dir():
            (run / "tags" / "text").write_text("x" * 400_000)
    batches: list[int] = []
    write = Writer.write

    def counted(self: Writer, kind: str, units: list[Any]) -> Any:
        batches.append(len(units))
        return write(self, kind, units)

    monkeypatch.setattr(Writer, "write", counted)
    monkeypatch.setattr(transfer, "_HEAVY", 10_000)
    importing(store)
    assert batches == [1, 1, 1]
