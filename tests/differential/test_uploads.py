"""Uploads of files: both lanes say the same to everybody, of every path, and store the same file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from studio.lib.home import Home
from studio.lib.secrets import derive
from tests.differential.cases import API, TWINS, Case
from tests.differential.cast import ADMIN, EVERYBODY, STRANGER, Cast
from tests.differential.lanes import Answer, Fast, Lane, Reference
from tests.support.live import Studio

RUN = "0123456789abcdef0123456789abcdef"
# `@` is the experiment that the cast has grants on. As they stand in an address.
OWNED = [
    f"@/{RUN}/artifacts/model/weights.bin", f"@/{RUN}", "@/a/artifacts/x", "@/models/m-1/artifacts/MLmodel",
    "@/traces/tr-1/artifacts/traces.json", "@/x.txt", "@/a/x", "workspaces/w/@/x", "999999999/x", "@9/x", "x.txt",
]  # fmt: skip
SPELT = [
    "@/a%20b/gr%C3%B6%C3%9Fe%20%2B.txt", "@/50%25.txt", "@/a%2520b", "@/%2561", "@/a%23b", "@/a%2523b", "@/a%3Fb",
    "@/a%3F", "@/a;b", "@/a;", "@/a:b", "a:b/x", "c:/x", "file:@/x", "file:///@/x", "@/a%5Cb", "@/a%00b", "@/a%01b",
    "@/a%7Fb", "@/a%0Ab", "@//x", "/@/x", "%2F@/x", "%252F@/x", "//host/@/x", "@/x/", "@/", "@/%20x", "%20@/x", "@/x%20",
    "@/[x", "@/~", "@/.hidden", "@/a..b", "@/...", "@/%EF%BF%BDx", "@/%FFx", "%D9%A1/x", "%3F", "%23", ".studio-store",
    "@/.artifact.uploading.x", "@/there", "@/" + "d/" * 100 + "x",
]  # fmt: skip
# MLflow fails on these with 500, or would; Studio tells what is wrong.
TOLD = [
    "@", "@/folder", "@/there/x", "@/there/x/y", "@//a/x", "@/a//b/x", "@/" + "n" * 300, "//[x",
]  # fmt: skip


@dataclass
class Scene:
    root: Path
    experiment: str
    fast: Lane
    reference: Lane

    def both(self, path: str, who: str, prefix: str = API) -> tuple[Outcome, Outcome]:
        route = f"mlflow-artifacts/artifacts/{path.replace('@', self.experiment)}"
        case = Case(path, route, b"", who, method="PUT", content_type=None, prefix=prefix)
        body = secrets.token_bytes(100)
        return self._sent(self.fast, case, body), self._sent(self.reference, case, body)

    def _sent(self, lane: Lane, case: Case, body: bytes) -> Outcome:
        """What the lane says, and which files there are that were not. They are taken away again."""
        before = self._state()
        answer = lane.ask(case, body)
        new = [path for path, state in self._state().items() if before.get(path) != state]
        files = {str(path): path.read_bytes() == body for path in new if path.is_file()}
        for path in sorted(new, reverse=True):
            if path not in before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Outcome(answer, files)

    def _state(self) -> dict[Path, object]:
        found: dict[Path, object] = {}
        for path in self.root.rglob("*"):
            state = path.lstat()
            found[path] = path.is_dir() or (state.st_ino, state.st_size, state.st_mode)
        return found


@dataclass
class Outcome:
    """`files`: those that are new, and whether they hold what was sent."""

    answer: Answer
    files: dict[str, bool]

    @property
    def told(self) -> Any:
        """The answer, whatever order its JSON has."""
        status, kind, body = self.answer
        return status, kind, json.loads(body) if kind == "application/json" else body


@pytest.fixture(scope="module")
def scene(live: Studio, database: psycopg.Connection[Any], cast: Cast) -> Iterator[Scene]:
    home = Home(live.home)
    key = derive(home.secret("secret-key"), "mlflow identity")
    bearers = {who: {"Authorization": f"Bearer {token}"} for who, token in cast.tokens.items()}
    experiment = "777000"  # neither lane asks whether it is there
    given = (
        "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) "
        "VALUES (%s, 'experiment', %s, %s)"
    )
    for role, permission in cast.grants:
        database.execute(given, [role, experiment, permission])
    folder = home.artifacts / experiment
    (folder / "folder").mkdir(parents=True)
    (folder / "there").write_bytes(b"before")
    (folder / "link").symlink_to(home.root / "secrets" / "nowhere")
    os.mkfifo(folder / "pipe")
    with (
        closing(Fast(live.port, bearers)) as fast,
        closing(Reference(home.reference_socket, key, cast.names)) as reference,
    ):
        yield Scene(home.artifacts, experiment, fast, reference)
    shutil.rmtree(folder)
    database.execute("DELETE FROM role_permissions WHERE resource_pattern = %s", [experiment])


@pytest.mark.parametrize("path", OWNED, ids=lambda path: path[:30])
def test_both_lanes_say_the_same_to_everybody(scene: Scene, path: str) -> None:
    stored = 0
    for who in EVERYBODY:
        fast, reference = scene.both(path, who)
        assert (fast.told, fast.files) == (reference.told, reference.files), who
        assert all(fast.files.values())
        assert len(fast.files) == (fast.answer.status == 200), who
        stored += len(fast.files)
    assert 0 < stored < len(EVERYBODY)


@pytest.mark.parametrize("path", SPELT, ids=lambda path: path[:30])
def test_both_lanes_read_a_path_in_the_same_way(scene: Scene, path: str) -> None:
    for who in (ADMIN, "editor"):
        fast, reference = scene.both(path, who)
        assert (fast.told, fast.files) == (reference.told, reference.files), who
        assert all(fast.files.values())


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path[:30])
def test_what_mlflow_fails_on_is_refused_in_its_words(scene: Scene, path: str) -> None:
    fast, reference = scene.both(path, ADMIN)
    assert (reference.answer.status, reference.files) == (500, {})
    assert (fast.answer.status, fast.files) == (400, {})
    told = json.loads(fast.answer.body)
    assert told["error_code"] == told["error_class"] == "INVALID_PARAMETER_VALUE"
    assert told["message"]
    assert scene.both(path, STRANGER)[0].answer[::2] == (403, b"Permission denied")


@pytest.mark.parametrize("path", ["@/link", "@/pipe"])
def test_what_is_no_file_of_the_store_is_refused_by_both(scene: Scene, path: str) -> None:
    for told in scene.both(path, "editor"):
        assert (told.answer.status, told.files) == (400, {})
        assert json.loads(told.answer.body)["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("prefix", TWINS)
def test_the_other_addresses_of_the_route_say_the_same(scene: Scene, prefix: str) -> None:
    for path, who, status in (("@/x", "editor", 200), ("@/x", "reader", 403), ("@/a%23b", ADMIN, 400)):  # fmt: skip
        fast, reference = scene.both(path, who, prefix)
        assert (fast.answer.status, fast.files) == (status, reference.files)
        assert reference.answer.status == status
        if (
            prefix == "/mlflow/ajax-api/2.0" and status == 403
        ):  # MLflow's UI takes text for a failure
            assert json.loads(fast.answer.body)["error_code"] == "PERMISSION_DENIED"
        else:
            assert fast.told == reference.told


@pytest.mark.parametrize("up", ["..", "%2e%2e", "%252e%252e", "..%5C..", "."])
def test_a_path_with_dots_is_refused_before_anything_is_asked(scene: Scene, up: str) -> None:
    for who in (ADMIN, STRANGER):
        fast, _ = scene.both(f"@/{up}/x", who)
        assert (fast.answer.status, fast.files) == (400, {})
        assert json.loads(fast.answer.body)["error_code"] == "INVALID_PARAMETER_VALUE"
