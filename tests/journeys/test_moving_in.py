"""From `mlflow server` to Studio, and back: the same database, runs, users and passwords."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from pytest_django.plugin import DjangoDbBlocker

from tests.support.databases import aliased, contents, database
from tests.support.live import ROOT, Studio, studio
from tests.support.stock import ADMINISTRATOR, PASSWORD, ask, client, log_run, mlflow_server

ANN, NEW, CARL = "ann-of-mlflows", "another one of ann's", "of carl, from Studio"


@dataclass
class Story:
    """What was where, and what was said, from one station to the next."""

    url: str
    artifacts: Path
    before: dict[str, tuple[str, int]] = field(default_factory=dict)
    after: dict[str, tuple[str, int]] = field(default_factory=dict)
    hers: str = ""
    run: str = ""
    log: str = ""


def fill(admin: httpx.Client, story: Story) -> None:
    """As people did before there was a Studio: ann may read an experiment, which has a run with an artifact."""
    ask(admin, "POST", "users/create", username="ann", password=ANN)
    story.hers = str(ask(admin, "POST", "experiments/create", name="hers")["experiment_id"])
    on = {"resource_type": "experiment", "resource_id": story.hers, "permission": "READ"}
    given = admin.post("/api/3.0/mlflow/users/permissions/grant", json=on | {"username": "ann"})
    assert given.status_code == 200
    story.run = log_run(admin, story.hers, "of the old server")


def fill_without_passwords(url: str, folder: Path) -> Story:
    told = Story(url, folder)
    with mlflow_server(url, folder, passwords=False) as address, client(address) as anybody:
        told.run = log_run(anybody, "0", "of nobody")
    told.before = contents(url)
    return told


@pytest.fixture(scope="module")
def stories(
    stores: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Story, Story]]:
    """Of a server that asks for passwords, and of one that does not: each with a database of its own."""
    folder, other = (tmp_path_factory.mktemp(name) / "mlartifacts" for name in ("asks", "lets"))
    with database() as url, database() as open_to_all, ThreadPoolExecutor(1) as beside:
        plain = beside.submit(fill_without_passwords, open_to_all, other)
        told = Story(url, folder)
        with (
            mlflow_server(url, folder, passwords=True) as address,
            client(address, ADMINISTRATOR, PASSWORD) as admin,
        ):
            fill(admin, told)
        told.before = contents(url)
        yield told, plain.result()


@pytest.fixture(scope="module")
def story(stories: tuple[Story, Story]) -> Story:
    return stories[0]


@pytest.fixture(scope="module")
def moved_in(story: Story) -> Iterator[Studio]:
    """Studio on that database: nothing more than its address was said."""
    more = {"DATABASE_URL": story.url, "STUDIO_ARTIFACTS": str(story.artifacts)}
    with studio(more=more) as running:
        story.log = running.log()
        story.after = contents(story.url)
        yield running


def reads(opened: httpx.Client, run: str) -> int:
    return opened.get("/api/2.0/mlflow/runs/get", params={"run_id": run}).status_code


def test_nothing_of_mlflows_is_rewritten(story: Story, moved_in: Studio) -> None:
    assert {name: story.after[name] for name in story.before} == story.before
    assert story.before["runs"][1] == 1
    assert story.before["users"][1] == 2
    assert "Adopted MLflow's database: 2 experiments, 1 runs." in story.log
    assert "outside" not in story.log
    assert "Adopted 2 users of MLflow's, 1 of them administrators." in story.log
    assert "admin is one of them, and keeps its password" in story.log
    assert "Made the first administrator" not in story.log


def test_a_database_without_users_is_taken_as_it_is(
    stories: tuple[Story, Story], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> None:
    plain, told = stories[1], StringIO()
    assert plain.before["runs"][1] == 1
    assert "users" not in plain.before
    with aliased(plain.url) as alias, django_db_blocker.unblock():
        call_command("migrate", database=alias, verbosity=0, interactive=False, stdout=told)
    after = contents(plain.url)
    assert {name: after[name] for name in plain.before} == plain.before
    assert after["users"][1] == after["accounts_user"][1] == 0
    assert "Adopted MLflow's database: 1 experiments, 1 runs." in told.getvalue()


def test_everybody_signs_in_with_the_password_of_before_and_may_what_they_might(
    story: Story, moved_in: Studio
) -> None:
    with client(moved_in.url, "ann", ANN) as ann:
        assert reads(ann, story.run) == 200
        default = ann.get("/api/2.0/mlflow/experiments/get", params={"experiment_id": "0"})
        assert default.status_code == 403
        note = f"/api/2.0/mlflow-artifacts/artifacts/{story.hers}/{story.run}/artifacts/note.txt"
        assert ann.get(note).text == "of the old server"
    with client(moved_in.url, "ann", PASSWORD) as wrong:
        assert reads(wrong, story.run) == 401
    with client(moved_in.url, ADMINISTRATOR, PASSWORD) as admin:
        log_run(admin, story.hers, "of Studio")
        assert admin.get("/api/v1/users").status_code == 200
        ask(admin, "POST", "users/create", username="carl", password=CARL)
        ask(admin, "PATCH", "users/update-password", username="ann", password=NEW)


def test_released_it_is_mlflows_again_with_old_and_new_runs_and_todays_passwords(
    story: Story, moved_in: Studio
) -> None:
    assert "Studio is running" in refused(moved_in, story)
    moved_in.stop(20)
    told = manage(moved_in, story, "release", "--yes").stdout
    assert "3 users" in told
    assert "Released" in told
    assert set(contents(story.url)) == set(story.before)
    with mlflow_server(story.url, story.artifacts, passwords=True) as address:
        with client(address, ADMINISTRATOR, PASSWORD) as admin:
            found = ask(admin, "POST", "runs/search", experiment_ids=[story.hers])
            names = {run["info"]["run_name"] for run in found["runs"]}  # type: ignore[attr-defined]
            assert names == {"of the old server", "of Studio"}
        for name, password, status in [
            ("ann", NEW, 200),
            ("ann", ANN, 401),
            ("carl", CARL, 403),
            ("carl", NEW, 401),
        ]:
            with client(address, name, password) as opened:
                assert reads(opened, story.run) == status, name
    again = manage(moved_in, story, "prepare").stdout
    assert "Adopted MLflow's database: 2 experiments, 2 runs." in again
    assert "Adopted 3 users of MLflow's, 1 of them administrators." in again


def manage(
    moved_in: Studio, story: Story, *arguments: str, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """A command of this Studio, once it has been stopped say."""
    own = {"DATABASE_URL": story.url, "STUDIO_ARTIFACTS": str(story.artifacts)}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=moved_in.environment | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def refused(moved_in: Studio, story: Story) -> str:
    return manage(moved_in, story, "release", "--yes", status=1).stderr
