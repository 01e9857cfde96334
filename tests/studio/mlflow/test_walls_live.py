"""Nothing outside STUDIO_ARTIFACTS is read, listed, written or deleted by MLflow's server, however it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attacker import UNNAMED, Attacker, Outside, nothing_of_it, user_on
from tests.support.live import Studio


@pytest.fixture(scope="module")
def attacker(live: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    outside = Outside(tmp_path_factory.mktemp("outside") / "folder", live.home / "beside")
    yield Attacker(live, user_on(live, "mallory"), outside)


@pytest.fixture(scope="module")
def own(attacker: Attacker) -> tuple[str, str]:
    """An experiment and a run of the attacker's."""
    experiment = attacker.new_experiment()
    return experiment, attacker.new_run(experiment)


@pytest.fixture(autouse=True)
def untouched(attacker: Attacker) -> Iterator[None]:
    yield
    state, before = attacker.outside.state(), attacker.outside.before
    attacker.outside.before = state
    assert state == before


@pytest.mark.parametrize(
    "written",
    [
        "file://{outside}", "file://localhost{outside}", "FILE://{outside}",
        "{outside}", "file:///proc/self", "/", "file://{root}/..{outside}",
        "file://{root}/../beside", "file://{root}/%2e%2e/beside", "file://{root}/%252e%252e/beside",
        "{root}/x/../../beside", "../beside", "~", "file:beside",
        "file://elsewhere{root}", "mlflow-artifacts:/../beside",
        "mlflow-artifacts:/%2e%2e/beside", "mlflow-artifacts:/%252e%252e%252fbeside",
        "mlflow-artifacts:/x/..%5C..%5Cbeside", "mlflow-artifacts://host/../..",
        "mlflow-artifacts://127.0.0.1:1/x", "mlflow-artifacts:/x#/../../beside",
        "mlflow-artifacts:/x?/../../beside", "mlflow-artifacts:/x;/../../beside", "file://{outside}#/x",
        "file://{outside}?x", "file://{outside}\0", "http://127.0.0.1:1/api/2.0/mlflow-artifacts/artifacts/x",
        "https://127.0.0.1:1/x", "ftp://127.0.0.1:1/x", "sftp://127.0.0.1:1/x", "s3://bucket/x",
        "r2://b@127.0.0.1/x", "b2://b@127.0.0.1/x", "gs://bucket/x", "dbfs:/x", "dbfs:{outside}",
        "hdfs://127.0.0.1:1/x", "viewfs:///x", "wasbs://c@a.blob.core.windows.net/x",
        "abfss://c@a.dfs.core.windows.net/x", "runs:/../../beside", "models:/x/1", "databricks://x",
        "C:\\beside", "\\\\host\\beside", "unknown://x", "s3://[x", "",
    ],
)  # fmt: skip
def test_an_address_outside_is_not_opened(attacker: Attacker, written: str) -> None:
    """Given to an experiment by who may: its runs, logged models, traces and versions are there then."""
    root = attacker.live.home / "artifacts"
    location = written.format(outside=attacker.outside.folder, root=root)
    nothing_of_it(attacker.address(location))


UP = [
    "..", "../..", "../../../../beside/secret.txt", "x/../../../../../beside/secret.txt",
    "..\\..\\..\\..\\beside\\secret.txt", "....//....//beside", "..;/..;/..;/..;/beside/secret.txt",
    "../../../../beside/secret.txt\0", "../../../../beside/secret.txt\0.png", "\0", "x\0/../../beside",
    "{outside}/secret.txt", "//{outside}/secret.txt", "file://{outside}/secret.txt",
    "file://localhost{outside}/secret.txt", "file:///proc/self/environ", "/proc/self/environ",
    "x#/../../../../../beside/secret.txt", "x?/../../../../../beside/secret.txt", "C:\\secret.txt",
    "~/secret.txt", "link/secret.txt", "link", "folder/../link/secret.txt", "secret-link", "hole",
    "runs:/x/../../beside", "mlflow-artifacts:/../beside/secret.txt",
]  # fmt: skip


@pytest.fixture(scope="module")
def trapped(attacker: Attacker, own: tuple[str, str]) -> tuple[str, str]:
    """The run's folder with links that lead out, and a pipe."""
    set_traps(attacker, *own)
    return own


def set_traps(attacker: Attacker, experiment: str, run: str) -> None:
    folder = attacker.folder_of(experiment, run)
    (folder / "link").symlink_to(attacker.outside.folder)
    (folder / "secret-link").symlink_to(attacker.outside.folder / "secret.txt")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "hole")


@pytest.mark.parametrize("written", UP)
def test_a_path_that_leads_out_is_not_opened(
    attacker: Attacker, trapped: tuple[str, str], written: str
) -> None:
    path = written.format(outside=attacker.outside.folder)
    nothing_of_it(attacker.path(*trapped, path))


DOTS = ["..", "%2e%2e", "%252e%252e", "%25252e%25252e", "..%2f", ".%2e", "%2e%2e%5c", "..%255c"]


@pytest.mark.parametrize(
    "up", [*DOTS, "%" + "25" * 10 + "2e" + "%" + "25" * 10 + "2e", "%c0%ae%c0%ae", "..%00"]
)
def test_a_path_that_leads_out_in_code_is_not_opened(
    attacker: Attacker, trapped: tuple[str, str], up: str
) -> None:
    """As it is written in the address, so decoded once or more on its way."""
    path = "/".join([up] * 4) + "/beside/secret.txt"
    nothing_of_it(attacker.path(*trapped, path, encode=False))


def test_a_link_is_neither_listed_nor_followed_nor_written_through(
    attacker: Attacker, own: tuple[str, str]
) -> None:
    run = attacker.new_run(own[0])
    set_traps(attacker, own[0], run)
    (listing, *_) = attacker.of_run(run, "")
    assert listing.status == 200
    assert [file["path"] for file in listing.json.get("files", [])] == ["folder"]
    assert attacker.upload(run, "link/new.txt").status == 400
    for path in ("link/secret.txt", "secret-link", "hole"):
        (_, got) = attacker.of_run(run, path)
        assert (got.status, got.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    proxied = f"/api/2.0/mlflow-artifacts/artifacts/{own[0]}/{run}/artifacts"
    for method in ("GET", "PUT", "DELETE"):
        body = b"evil" if method == "PUT" else None
        assert attacker.send(method, f"{proxied}/link/secret.txt", body).status == 400


@pytest.mark.parametrize("kind", ["location", "archive", "id"])
def test_a_trace_is_where_mlflow_has_put_it(
    attacker: Attacker, own: tuple[str, str], kind: str
) -> None:
    """A trace's tags say where its files are, and its sender writes the tags, and chooses its id."""
    outside = attacker.outside.folder.as_uri()
    sent: dict[str, list[tuple[str, dict[str, str]]]] = {
        "location": [("", {"mlflow.artifactLocation": outside})],
        "archive": [
            ("", {"mlflow.trace.spansLocation": "ARCHIVE_REPO", "mlflow.trace.archiveLocation": outside})
        ],
        "id": [("../../../../beside", {}), ("%2e%2e%2f..%2fx", {}), ("..", {}), ("x#", {}), ("a\\b", {})],
    }  # fmt: skip
    for trace_id, tags in sent[kind]:
        answers = nothing_of_it(attacker.of_trace(own[0], trace_id, **tags))
        if kind == "id":
            assert answers[0].status == 400


def test_the_place_of_a_trace_cannot_be_changed(attacker: Attacker, own: tuple[str, str]) -> None:
    made = attacker.new_trace(own[0])
    trace = made.json["trace"]["trace_info"]["trace_id"]
    for key in (
        "mlflow.artifactLocation",
        "mlflow.trace.archiveLocation",
        "mlflow.trace.spansLocation",
    ):
        body = {"key": key, "value": attacker.outside.folder.as_uri()}
        for route in ("/api/3.0/mlflow/traces", "/api/2.0/mlflow/traces"):
            answer = attacker.send("PATCH", f"{route}/{trace}/tags", body)
            assert answer.status == 400, answer
    nothing_of_it(attacker.read_trace(trace))


def test_the_folder_of_all_artifacts_is_not_deleted(
    live: Studio, token: str, attacker: Attacker
) -> None:
    """Not even by an administrator, who may delete everything that lies in it."""
    file = live.home / "artifacts" / "kept.txt"
    file.write_text("x")
    administrator = Attacker(live, token, attacker.outside)
    for path in (".", "%2e", "%252e", "./", "x/..", "%2e/%2e", "/", "//"):
        administrator.send("DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        assert file.exists(), path


def test_the_page_of_a_run_elsewhere_tells_the_address_and_opens_nothing(
    attacker: Attacker,
) -> None:
    location = attacker.outside.folder.as_uri()
    run = attacker.new_run(attacker.new_experiment(location))
    attacker.outside.plant(run)
    shown = attacker.send("GET", f"/runs/{run}/", tab="artifacts")
    assert shown.status == 200
    assert f"{location}/{run}/artifacts".encode() in shown.body
    assert UNNAMED.encode() not in shown.body
    for kind in ("artifacts", "preview", "download"):
        (answer,) = nothing_of_it([attacker.send("GET", f"/runs/{run}/{kind}/", path="secret.txt")])
        assert answer.status == 404 or b"does not lie below STUDIO_ARTIFACTS" in answer.body


def test_what_lies_inside_works_as_ever(attacker: Attacker, tmp_path: Path) -> None:
    """By MLflow's own address, and by one of a folder below the root that somebody has chosen."""
    for location in ("", f"{(attacker.live.home / 'artifacts' / 'chosen').as_uri()}"):
        experiment = attacker.new_experiment(location)
        run = attacker.new_run(experiment)
        assert attacker.upload(run, "a b/größe 50%.txt").status == 200
        (listing, *_) = attacker.of_run(run, "a b")
        assert listing.json["files"] == [
            {"path": "a b/größe 50%.txt", "is_dir": False, "file_size": 4}
        ]
        (_, got, *_) = attacker.of_run(run, "a b/größe 50%.txt")
        assert (got.status, got.body) == (200, b"evil")
    place = f"/api/2.0/mlflow-artifacts/artifacts/{attacker.new_experiment()}/x/artifacts/f.txt"
    assert attacker.send("PUT", place, b"good").status == 200
    assert attacker.send("GET", place).body == b"good"
    assert attacker.send("DELETE", place).status == 200
    assert attacker.send("GET", place).status == 404
