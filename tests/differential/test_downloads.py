"""Downloads and lists of files: both lanes say the same to everybody, of every path, and send the same bytes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from studio.lib.home import Home
from studio.lib.secrets import derive
from studio.mlflow.identity import HEADER, header_for
from tests.differential.cases import API, TWINS
from tests.differential.cast import ADMIN, EVERYBODY, STRANGER, Cast
from tests.support.live import Studio

RUN = "0123456789abcdef0123456789abcdef"
EXPERIMENT = "777001"
SIZE = 200_000
# What counts of an answer beside its status and body.
HEADERS = (
    "content-type", "content-length", "content-disposition", "accept-ranges", "last-modified", "etag", "content-range",
    "x-content-type-options",
)  # fmt: skip
# `@` is the experiment that the cast has grants on. As they stand in an address.
FILES = [
    f"@/{RUN}/artifacts/model/weights.bin", f"@/{RUN}x/plain", "@/a/artifacts/x", "@/models/m-1/artifacts/MLmodel",
    "@/traces/tr-1/artifacts/traces.json", "@/x.txt", "workspaces/w/@/x", "x.txt",
]  # fmt: skip
NOT_THERE = [
    f"@/{RUN}/artifacts/absent", "@/absent", "@/a", "@", "999999999/x", "@9/x", "absent", "@/x.txt/x",
    ".studio-store",
]  # fmt: skip
# The file that each of them may mean is there.
SPELT = {
    "@/a%20b/gr%C3%B6%C3%9Fe%20%2B.txt": "a b/größe +.txt", "@/%E6%97%A5%E6%9C%AC%E8%AA%9E": "日本語",
    "@/50%25.txt": "50%.txt", "@/a%2520b": "a b/c", "@/%2561": "a", "@/a%23b": "a#b", "@/q%2523": "q", "@/q%3F": "q",
    "@/q;": "q;", "@/a,b%3Dc.tar.gz": "a,b=c.tar.gz", "@/%22q%22%5Cx": '"q"\\x', "@/a%22b.csv": 'a"b.csv',
    "@/a%01b": "a%01b", "@/a%0Ab": "a%0ab", "@//x": "x", "/@/x": "x", "%2F@/x": "x", "@/x/": "x", "@/%20x": " x",
    "@/x%20": "x ", "@/[x": "[x", "@/.hidden": ".hidden", "@/a..b": "a..b", "@/...": "...", "@/%EF%BF%BDx": "\ufffdx",
    "@/.artifact.uploading.x": ".artifact.uploading.x", "@/n.PY": "n.PY", "@/n.html": "n.html", "@/n.svg": "n.svg",
    "@/MLmodel": "MLmodel", "@/x?path=7": "x", "@/x?": "x", "@/link": "x", "@/empty": "empty",
}  # fmt: skip
RANGES = [
    "bytes=0-", "bytes=0-0", "bytes=5-9", "bytes=-3", "bytes=-0", "bytes=-300000", "bytes=199999-", "bytes=200000-",
    "bytes=5-200000", "bytes=5-199999", "bytes=70000-170000", "bytes=5-4", "bytes=-", "bytes=", "bytes", "bytes=5",
    "bytes=a-b", "lines=1-2", "bytes=1-2,", "bytes=0-5,3-9", "Bytes=0-1", "bytes= 1 - 2", "bytes=1-2;", "",
]  # fmt: skip
LISTS = [
    "run_id=@run", "run_uuid=@run", "run_id=@run&run_uuid=@run", "run_id=@run&path=", "run_id=@run&path=b", "path=b",
    "run_id=@run&path=b/c", "run_id=@run&path=b/", "run_id=@run&path=.", "run_id=@run&path=..", "run_id=@run&path=/b",
    "run_id=@run&path=./b", "run_id=@run&path=b//c", "run_id=@run&path=a.txt", "run_id=@run&path=absent", "run_id=",
    "run_id=@run&path=gr%C3%B6%C3%9Fe", "run_id=@run&path=gr%25C3%25B6%25C3%259Fe", "run_id=@run&path=%23", "",
    "run_id=@run&path=b%0A", "run_id=@run&path=b&path=b/c", "run_id=@run&page_token=x", "run_id=@run&other=1",
    "run_id=absent", f"run_id={'0' * 32}", "run_id=@deleted", "run_id=@empty", "run_id=@strange", "run_id=@nowhere",
    "run_id=@encoded", "run_id=@above", "run_id=@foreign",
]  # fmt: skip
RUNS = {
    name: secrets.token_hex(16)
    for name in (
        "run",
        "deleted",
        "empty",
        "strange",
        "nowhere",
        "encoded",
        "above",
        "foreign",
        "linked",
    )
}
# Where the files of a run lie, if not where all others have them.
PLACES = {
    "strange": "mlflow-artifacts:/777001/strange;x", "nowhere": "s3://elsewhere/x", "encoded": "mlflow-artifacts:/777001/%62",
    "above": "mlflow-artifacts:/777001/../777001/b", "foreign": "mlflow-artifacts://elsewhere/777001/b",
}  # fmt: skip


@dataclass
class Scene:
    root: Path
    fast: dict[str, httpx.Client]
    reference: dict[str, httpx.Client]

    def both(
        self, target: str, who: str = ADMIN, prefix: str = API, **headers: str
    ) -> tuple[Any, Any]:
        """What each lane says."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        below = prefix.removeprefix("/mlflow")  # Studio's place for MLflow's pages
        return (
            _told(self.fast[who].get(f"{prefix}/{target}", headers=sent)),
            _told(self.reference[who].get(f"{below}/{target}", headers=sent)),
        )

    def file(self, path: str, **more: str) -> tuple[Any, Any]:
        return self.both(f"mlflow-artifacts/artifacts/{path.replace('@', EXPERIMENT)}", **more)

    def folder(self, path: str, **more: str) -> tuple[Any, Any]:
        return self.both(f"mlflow-artifacts/artifacts?path={path.replace('@', EXPERIMENT)}", **more)

    def listed(self, query: str, **more: str) -> tuple[Any, Any]:
        for name, run in RUNS.items():
            query = query.replace(f"@{name}", run)
        return self.both(f"mlflow/artifacts/list?{query}", **more)


def _told(answer: httpx.Response) -> tuple[int, object, dict[str, str]]:
    """The answer, whatever order or spaces its JSON has."""
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    if headers.get("content-type", "").startswith("application/json"):
        del headers["content-length"]
        headers.pop("x-content-type-options", None)  # Studio sends it with everything
        return answer.status_code, answer.json(), headers
    if answer.status_code >= 400:
        headers.pop("x-content-type-options", None)
    return answer.status_code, answer.content, headers


@pytest.fixture(scope="module")
def scene(live: Studio, database: psycopg.Connection[Any], cast: Cast) -> Iterator[Scene]:
    home = Home(live.home)
    key = derive(home.secret("secret-key"), "mlflow identity")
    with ExitStack() as clients:
        fast, reference = {}, {}
        for who in EVERYBODY:
            bearer = {"Authorization": f"Bearer {cast.tokens[who]}"}
            signed = {HEADER: header_for(cast.names[who], key)}
            wire = httpx.HTTPTransport(uds=str(home.reference_socket))
            fast[who] = clients.enter_context(httpx.Client(base_url=live.url, headers=bearer))
            reference[who] = clients.enter_context(
                httpx.Client(base_url="http://mlflow", headers=signed, transport=wire)
            )
        _make_rows(database, cast)
        _make_files(home.artifacts)
        yield Scene(home.artifacts, fast, reference)
    for path in (EXPERIMENT, "workspaces"):
        shutil.rmtree(home.artifacts / path)
    (home.artifacts / "x.txt").unlink()
    database.execute("DELETE FROM runs WHERE experiment_id = %s", [EXPERIMENT])
    database.execute("DELETE FROM experiments WHERE experiment_id = %s", [EXPERIMENT])
    database.execute("DELETE FROM role_permissions WHERE resource_pattern = %s", [EXPERIMENT])


def _make_rows(database: psycopg.Connection[Any], cast: Cast) -> None:
    database.execute(
        "INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage, artifact_location) "
        "VALUES (%s, 'downloads', 'default', 'active', %s)",
        [EXPERIMENT, f"mlflow-artifacts:/{EXPERIMENT}"],
    )
    for name, run in RUNS.items():
        usual = f"mlflow-artifacts:/{EXPERIMENT}/{name}/artifacts"
        stage = "deleted" if name == "deleted" else "active"
        database.execute(
            "INSERT INTO runs (run_uuid, name, status, user_id, lifecycle_stage, artifact_uri, experiment_id, start_time) "
            "VALUES (%s, %s, 'FINISHED', 'x', %s, %s, %s, 1)",
            [run, name, stage, PLACES.get(name, usual), EXPERIMENT],
        )
    for role, permission in cast.grants:
        database.execute(
            "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) "
            "VALUES (%s, 'experiment', %s, %s)",
            [role, EXPERIMENT, permission],
        )


def _make_files(root: Path) -> None:
    own = root / EXPERIMENT
    paths = [root / path.replace("@", EXPERIMENT) for path in FILES]
    paths += [own / path for path in SPELT.values() if path not in ("a", "empty")]
    for run in ("run", "deleted"):
        paths += [own / run / "artifacts" / path for path in ("b/c/d", "b/e", "b.txt", "Z", "größe/x", "a.txt")]  # fmt: skip
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(100))
    (own / "run/artifacts/empty").touch()
    (own / "run/artifacts/.artifact.uploading.x").touch()
    (own / "empty").touch()
    (own / "big.bin").write_bytes(secrets.token_bytes(SIZE))
    linked = own / "linked/artifacts"
    linked.mkdir(parents=True)
    (linked / "file").write_bytes(b"four")
    (linked / "inside").symlink_to("file")
    (linked / "other").symlink_to(own / "x")
    (linked / "out").symlink_to(root.parent / "secrets")
    (linked / "nowhere").symlink_to("absent")
    os.mkfifo(linked / "pipe")
    (own / "link").symlink_to("x")
    (own / "out").symlink_to(root.parent / "secrets")
    (own / "circle").symlink_to("circle")
    os.mkfifo(own / "pipe")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path[:30])
def test_both_lanes_say_the_same_to_everybody(scene: Scene, path: str) -> None:
    sent = 0
    for who in EVERYBODY:
        fast, reference = scene.file(path, who=who)
        assert fast == reference, who
        sent += fast[0] == 200
    assert 0 < sent < len(EVERYBODY)


@pytest.mark.parametrize("path", NOT_THERE, ids=lambda path: path[:30])
def test_both_lanes_say_the_same_of_what_is_not_there(scene: Scene, path: str) -> None:
    for who in (ADMIN, "reader", "denied", STRANGER):
        fast, reference = scene.file(path, who=who)
        assert fast == reference, who
        assert fast[0] >= 400


@pytest.mark.parametrize("path", SPELT, ids=lambda path: path[:30])
def test_both_lanes_read_a_path_in_the_same_way(scene: Scene, path: str) -> None:
    for who in (ADMIN, "reader", STRANGER):
        fast, reference = scene.file(path, who=who)
        assert fast == reference, who


@pytest.mark.parametrize("path", ["@/out", "@/out/secret-key", "@/circle"])
def test_what_leads_out_of_the_store_is_refused_by_both(scene: Scene, path: str) -> None:
    fast, reference = scene.file(path)
    assert fast == reference
    assert fast[0] >= 400


@pytest.mark.parametrize("asked", RANGES)
def test_both_lanes_send_the_same_part(scene: Scene, asked: str) -> None:
    for path in ("@/big.bin", "@/empty"):
        fast, reference = scene.file(path, Range=asked)
        assert fast == reference, path


def test_several_ranges_are_sent_as_mlflow_sends_them(scene: Scene) -> None:
    """Apart from the line between them, which is drawn by lot."""
    fast, reference = scene.file("@/big.bin", Range="bytes=0-5,50-59")
    for told in (fast, reference):
        assert told[0] == 206
        assert told[2]["content-type"].startswith("multipart/byteranges")
    assert len(fast[1]) == len(reference[1])


def test_both_lanes_send_the_part_of_the_file_that_the_client_has(scene: Scene) -> None:
    (_, _, known), _ = scene.file("@/big.bin")
    for tag in (known["etag"], known["last-modified"], f"W/{known['etag']}", '"other"', ""):
        for asked in ("bytes=5-9", "bytes=200000-", "bytes=x"):
            fast, reference = scene.file("@/big.bin", Range=asked, If_Range=tag)
            assert fast == reference, (tag, asked)
    for name in ("If-None-Match", "If-Match"):
        fast, reference = scene.file("@/big.bin", **{name: known["etag"]})
        assert fast == reference, name


@pytest.mark.parametrize("query", LISTS)
def test_both_lanes_list_the_same(scene: Scene, query: str) -> None:
    for who in (ADMIN, "reader", "denied runs", STRANGER):
        fast, reference = scene.listed(query, who=who)
        assert fast == reference, who


def test_both_lanes_list_to_the_same_people(scene: Scene) -> None:
    listed = 0
    for who in EVERYBODY:
        fast, reference = scene.listed("run_id=@run", who=who)
        assert fast == reference, who
        listed += fast[0] == 200
    assert 0 < listed < len(EVERYBODY)
    assert [each["path"] for each in scene.listed("run_id=@run")[0][1]["files"]] == [
        "Z", "a.txt", "b", "b.txt", "empty", "größe",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "@", "@/run", "@/run/artifacts", "@/run/artifacts/b", "@/run/artifacts/gr%C3%B6%C3%9Fe", "@/run/artifacts/b/",
        "@/./run/artifacts", "@/run%252Fartifacts", "@/models", "@/linked/artifacts", "@/run/artifacts/b.txt", "@/absent", "@/out",
        "@/../@/run", "/@/run", "", "@/run&path=@/models", "@/run&x=1", "workspaces", "absent",
    ],
)  # fmt: skip
def test_both_lanes_list_a_folder_of_the_store_to_the_same_people(scene: Scene, path: str) -> None:
    for who in EVERYBODY:
        fast, reference = scene.folder(path, who=who)
        assert fast == reference, who


def test_what_is_no_file_of_the_store_is_in_no_list(scene: Scene) -> None:
    fast, reference = scene.listed("run_id=@linked")
    assert fast == reference
    assert [each["path"] for each in fast[1]["files"]] == ["file", "inside", "other"]


@pytest.mark.parametrize("prefix", TWINS)
def test_the_other_addresses_of_the_routes_say_the_same(scene: Scene, prefix: str) -> None:
    for told in (scene.file("@/x.txt", prefix=prefix), scene.listed("run_uuid=@run", prefix=prefix), scene.folder("@/run/artifacts", prefix=prefix)):  # fmt: skip
        assert told[0] == told[1]
        assert told[0][0] == 200
