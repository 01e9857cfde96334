"""Who gets a file and which part of it, what is in a list, and what is left to MLflow: without MLflow's server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client, RequestFactory
from hypothesis import example, given, strategies
from mlflow.server.handlers import _content_disposition_attachment
from pytest_django import Settings

from studio.accounts.models import User
from studio.lib import artifacts
from studio.lib.errors import Unavailable
from studio.mlflow import upstream
from studio.mlflow.guards import TABLE, Call
from tests.support.grants import grant_mlflow
from tests.support.rows import make_experiment, make_run
from tracking import downloads
from tracking.models import Run

pytestmark = pytest.mark.django_db
WHERE = "/api/2.0/mlflow-artifacts/artifacts"
LIST = "/api/2.0/mlflow/artifacts/list"
FOLDER = "/api/2.0/mlflow-artifacts/artifacts"
RUN = "0123456789abcdef0123456789abcdef"
FILE = f"7/{RUN}/artifacts/model/weights.bin"
OURS = {"Sec-Fetch-Site": "same-origin"}
CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS = tmp_path / "artifacts"
    (settings.ARTIFACTS / FILE).parent.mkdir(parents=True)
    (settings.ARTIFACTS / FILE).write_bytes(CONTENT)
    return tmp_path / "artifacts"


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(request: object) -> None:
        raise Unavailable("MLflow is asked")

    monkeypatch.setattr(upstream, "send", send)


def get(client: Client, path: str = FILE, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"{WHERE}/{path}", headers=OURS | named)


def is_left(answer: Any) -> bool:
    """Whether MLflow's server is to answer."""
    return bool(answer.status_code == 503 and answer.json()["message"] == "MLflow is asked")


def content(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


@pytest.fixture
def run() -> Run:
    made = make_run(make_experiment())
    uri = f"mlflow-artifacts:/{made.experiment_id}/{made.pk}/artifacts"
    Run.objects.filter(pk=made.pk).update(artifact_uri=uri)
    made.refresh_from_db()
    return made


def folder(root: Path, run: Run) -> Path:
    return root / f"{run.experiment_id}/{run.pk}/artifacts"


def test_who_may_read_a_run_gets_its_files_and_nobody_else(as_bob: Client, bob: User) -> None:
    assert is_left(get(as_bob))
    for word in ("READ", "USE", "EDIT"):
        grant_mlflow(bob, "experiment", "7", word)
        answer = get(as_bob)
        assert (answer.status_code, content(answer)) == (200, CONTENT), word
    grant_mlflow(bob, "run", "*", "DENY")
    assert is_left(get(as_bob))


def test_a_file_comes_with_its_length_and_kind_and_never_as_a_document(
    as_alice: Client, root: Path
) -> None:
    (root / "7/größe.HTML").write_text("<b>")
    answer = get(as_alice, "7/größe.HTML")
    assert content(answer) == b"<b>"
    assert answer.headers["Content-Length"] == "3"
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=groe.HTML; ")
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, SIZE), ("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=70000-200000", 70000, 200001),
        ("bytes=-3", SIZE - 3, SIZE), (f"bytes=-{SIZE + 1}", 0, SIZE), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{SIZE}", 5, SIZE), (f"bytes=5-{SIZE - 1}", 5, SIZE), ("bytes=5-999999999999999", 5, SIZE),
    ],
)  # fmt: skip
def test_a_range_is_sent_as_it_is_asked_for(
    as_alice: Client, asked: str, start: int, stop: int
) -> None:
    answer = get(as_alice, Range=asked)
    assert (answer.status_code, content(answer)) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(as_alice: Client, asked: str) -> None:
    answer = get(as_alice, Range=asked)
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


def test_of_an_empty_file_there_is_no_range(as_alice: Client, root: Path) -> None:
    (root / "7/empty").touch()
    assert content(get(as_alice, "7/empty")) == b""
    assert get(as_alice, "7/empty", Range="bytes=0-").status_code == 416


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6", "bytes=-", "bytes=", "bytes", "bytes=5", "bytes=a-b", "bytes=5-4", "lines=1-2", "bytes=1-2,",
        "bytes=+1-2", "bytes=²-", "bytes= 1-2", "bytes=1-2 ", "bytes=" + "9" * 5000 + "-",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_range_is_left_to_mlflow(as_alice: Client, asked: str) -> None:
    assert is_left(get(as_alice, Range=asked))


def test_a_range_of_a_file_that_has_changed_is_the_whole_one(as_alice: Client, root: Path) -> None:
    whole = get(as_alice)
    first = whole.headers
    assert content(whole) == CONTENT
    for known in (first["ETag"], first["Last-Modified"]):
        assert content(get(as_alice, Range="bytes=5-9", If_Range=known)) == CONTENT[5:10]
    later = (root / FILE).stat().st_mtime + 10
    os.utime(root / FILE, (later, later))
    for known in (first["ETag"], first["Last-Modified"], f"W/{first['ETag']}", "x"):
        answer = get(as_alice, Range="bytes=5-9", If_Range=known)
        assert (answer.status_code, content(answer)) == (200, CONTENT)
        assert "Content-Range" not in answer.headers


def test_what_is_sent_is_one_file_though_another_takes_its_place(
    as_alice: Client, root: Path
) -> None:
    answer = get(as_alice)
    pieces = iter(answer.streaming_content)
    first = next(pieces)
    (root / "new").write_bytes(b"x" * 10)
    (root / "new").replace(root / FILE)
    assert first + b"".join(pieces) == CONTENT


@pytest.fixture
def kept() -> Iterator[None]:
    """The end of an answer does not end the test's connection to the database."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


def test_a_file_is_closed_though_nobody_reads_it(
    alice: User, root: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(artifacts, "root", lambda: Remembering(root, opened))
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=0-1,5-6"}, {"Range": "bytes=-0"}):
        request = RequestFactory().get(f"{WHERE}/{FILE}", headers=headers)
        answer = downloads.download(Call(request, alice, False, {"path": FILE}))
        if answer is not None:
            answer.close()
    assert [file.closed for file in opened] == [True] * 4


class Remembering:
    """A folder whose files tell whether they have been closed."""

    def __init__(self, root: Path, opened: list[Any]) -> None:
        self._folder, self._opened = artifacts.LocalFolder(root), opened

    def open(self, path: str) -> Any:
        found: Any = self._folder.open(path)
        self._opened.append(found._file)
        return found


@pytest.mark.parametrize(
    "path",
    [
        "7", f"7/{RUN}/artifacts/model", "7/absent", f"{FILE}/x", f"{FILE}/", f"7//{RUN}/artifacts/model/weights.bin",
        "7/out", "7/pipe", "7/circle", f"{FILE}%0A", f"{FILE}%2523x", f"{FILE}?x=1", f"{FILE}?path=8", "7/" + "n" * 300,
        ".studio-store",
    ],
)  # fmt: skip
def test_what_is_no_file_of_the_store_is_left_to_mlflow(
    as_alice: Client, root: Path, path: str
) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "7/out").symlink_to(root.parent / "secret")
    (root / "7/circle").symlink_to("circle")
    (root / ".studio-store").write_text("not an artifact")
    os.mkfifo(root / "7/pipe")
    assert is_left(get(as_alice, path))


def test_a_store_that_does_not_answer_is_left_to_mlflow(
    as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unavailable("out of reach")

    monkeypatch.setattr(artifacts, "root", away)
    assert is_left(get(as_alice))


def test_head_is_left_to_mlflow(as_alice: Client, run: Run) -> None:
    assert as_alice.head(f"{WHERE}/{FILE}", headers=OURS).status_code == 503
    assert as_alice.head(f"{LIST}?run_id={run.pk}", headers=OURS).status_code == 503


@given(strategies.text(min_size=1, max_size=20))
@example("日本語")
@example("größe.txt")
@example('a "b" \\c.txt')
@example("a,b;c=d")
def test_a_name_is_told_as_mlflow_tells_it(name: str) -> None:
    assert downloads.attachment(name) == _content_disposition_attachment(name)


def test_a_list_tells_what_lies_in_a_folder_by_name(as_alice: Client, root: Path, run: Run) -> None:
    own = folder(root, run)
    own.mkdir(parents=True)
    nothing = as_alice.get(f"{LIST}?run_id={run.pk}", headers=OURS).json()
    assert nothing == {"root_uri": run.artifact_uri}
    for path in ("b/x.txt", "a.txt", "c.txt", "größe.bin", ".artifact.uploading.x", "empty"):
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_bytes(b"" if path == "empty" else b"four")
    answer = as_alice.get(f"{LIST}?run_uuid={run.pk}&path=", headers=OURS)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "root_uri": run.artifact_uri,
        "files": [
            {"path": "a.txt", "is_dir": False, "file_size": 4},
            {"path": "b", "is_dir": True},
            {"path": "c.txt", "is_dir": False, "file_size": 4},
            {"path": "empty", "is_dir": False},
            {"path": "größe.bin", "is_dir": False, "file_size": 4},
        ],
    }
    below = as_alice.get(f"{LIST}?run_id={run.pk}&path=b", headers=OURS).json()
    assert below["files"] == [{"path": "b/x.txt", "is_dir": False, "file_size": 4}]


def test_a_folder_of_the_store_is_listed_to_who_may_read_it(
    as_alice: Client, as_bob: Client, bob: User, root: Path, run: Run
) -> None:
    own = folder(root, run)
    (own / "b").mkdir(parents=True)
    (own / "a.txt").write_bytes(b"four")
    address = f"{FOLDER}?path={own.relative_to(root)}"
    files = [{"path": "a.txt", "is_dir": False, "file_size": 4}, {"path": "b", "is_dir": True}]
    assert as_alice.get(address, headers=OURS).json() == {"files": files}
    assert as_alice.get(f"{address}/b", headers=OURS).json() == {}
    for unusual in (
        "",
        "?path=",
        f"?path={own.relative_to(root)}/a.txt",
        "?path=absent",
        "?path=..",
    ):
        assert is_left(as_alice.get(FOLDER + unusual, headers=OURS)), unusual
    assert is_left(as_bob.get(address, headers=OURS))
    grant_mlflow(bob, "experiment", run.experiment_id, "READ")
    assert as_bob.get(address, headers=OURS).status_code == 200


def test_who_may_not_read_a_run_gets_no_list(
    as_bob: Client, bob: User, root: Path, run: Run
) -> None:
    address = f"{LIST}?run_id={run.pk}"
    folder(root, run).mkdir(parents=True)
    assert is_left(as_bob.get(address, headers=OURS))
    grant_mlflow(bob, "experiment", run.experiment_id, "READ")
    assert as_bob.get(address, headers=OURS).status_code == 200
    grant_mlflow(bob, "run", "*", "DENY")
    assert is_left(as_bob.get(address, headers=OURS))


@pytest.mark.parametrize(
    "more",
    [
        "&path=file", "&path=absent", "&path=.", "&path=a/", "&path=a//b", "&path=..", "&path=/a", "&path=%2523x",
        "&page_token=x", "&path=a&path=b", "&run_uuid=x", "&other=1",
    ],
)  # fmt: skip
def test_an_unusual_question_is_left_to_mlflow(
    as_alice: Client, root: Path, run: Run, more: str
) -> None:
    (folder(root, run) / "a/b").mkdir(parents=True)
    (folder(root, run) / "file").touch()
    assert is_left(as_alice.get(f"{LIST}?run_id={run.pk}{more}", headers=OURS))


@pytest.mark.parametrize(
    "uri",
    [
        None, "", "mlflow-artifacts:/", "mlflow-artifacts:/7/../7", "mlflow-artifacts:/7%2f8", "mlflow-artifacts://host/7",
        "mlflow-artifacts:///7", "mlflow-artifacts:7", "mlflow-artifacts:/7;x", "mlflow-artifacts:/7?x", "mlflow-artifacts:/7/",
        "s3://elsewhere/7", "file:///tmp", "@root@/7", "http://localhost/api/2.0/mlflow-artifacts/artifacts/7",
    ],
)  # fmt: skip
def test_a_run_whose_files_lie_elsewhere_is_left_to_mlflow(
    as_alice: Client, root: Path, run: Run, uri: str | None
) -> None:
    named = uri and uri.replace("@root@", str(root))
    Run.objects.filter(pk=run.pk).update(artifact_uri=named)
    assert is_left(as_alice.get(f"{LIST}?run_id={run.pk}", headers=OURS))


def test_a_run_that_is_not_there_or_has_no_files_is_left_to_mlflow(
    as_alice: Client, run: Run
) -> None:
    assert is_left(as_alice.get(f"{LIST}?run_id={run.pk}", headers=OURS))
    assert is_left(as_alice.get(f"{LIST}?run_id={RUN}", headers=OURS))
    assert is_left(as_alice.get(LIST, headers=OURS))


def test_links_that_lead_out_are_in_no_list(as_alice: Client, root: Path, run: Run) -> None:
    own = folder(root, run)
    own.mkdir(parents=True)
    (own / "file").touch()
    (own / "out").symlink_to("/etc")
    (own / "link").symlink_to("file")
    (own / "nowhere").symlink_to("absent")
    (own / "other").symlink_to(root / FILE)
    found = as_alice.get(f"{LIST}?run_id={run.pk}", headers=OURS).json()["files"]
    assert [each["path"] for each in found] == ["file", "link", "other"]


def test_every_way_to_the_routes_is_studio_s_and_no_other_route_is() -> None:
    def names(method: str, path: str) -> set[str]:
        return {guard.before.__name__ for guard in TABLE.on(method, path) if guard.before}

    for api in ("/api/2.0", "/ajax-api/2.0"):
        assert names("GET", f"{api}/mlflow-artifacts/artifacts/1/x") == {"_download"}
        assert names("GET", f"{api}/mlflow/artifacts/list") == {"_listing"}
        assert not names("POST", f"{api}/mlflow/artifacts/list")
        assert names("GET", f"{api}/mlflow-artifacts/artifacts") == {"_folder"}
        assert not names("POST", f"{api}/mlflow-artifacts/artifacts")
    assert not names("GET", "/api/3.0/mlflow-artifacts/artifacts/1/x")
