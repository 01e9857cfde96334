"""Who may see experiments and runs: a stranger learns nothing of what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from studio.accounts.models import User
from studio.lib.errors import NotFound
from tests.support.pages import page
from tracking import access, urls
from tracking.models import Experiment, Run

# But for the one that is only asked by POST, and leaves out what may not be seen (tests/tracking/charts).
NAMES = sorted({pattern.name or "" for pattern in urls.urlpatterns} - {"points"})


@pytest.fixture
def run(
    make_experiment: Callable[..., Experiment], make_run: Callable[..., Run],
    settings: Settings, tmp_path: Path,
) -> Run:  # fmt: skip
    """A run named `secret-run`, with a metric and a file."""
    settings.ARTIFACTS = tmp_path / "artifacts"
    run = make_run(make_experiment("secret-experiment"), "secret-run", metrics={"loss": 0.5})
    folder = settings.ARTIFACTS / str(run.experiment_id) / run.pk / "artifacts"
    folder.mkdir(parents=True)
    (folder / "secret.txt").write_text("secret")
    return run


def address(name: str, run: Run) -> str:
    own = [run.experiment_id]
    arguments = {"experiments": [], "experiment": own, "access": own}.get(name, [run.pk])
    return reverse(f"tracking:{name}", args=arguments) + "?path=secret.txt&key=loss"


def remove(run: Run) -> None:
    for related in (run.latest_metrics, run.metrics, run.tags):
        related.all().delete()
    Run.objects.filter(pk=run.pk).delete()


@pytest.mark.parametrize("name", NAMES)
def test_an_administrator_sees_it(as_alice: Client, run: Run, name: str) -> None:
    path = address(name, run)
    response = as_alice.get(path.split("?")[0] if name == "artifacts" else path)
    assert response.status_code == 200
    response.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_gets_404_and_an_empty_list(as_bob: Client, run: Run, name: str) -> None:
    response = as_bob.get(address(name, run))
    assert response.status_code == (200 if name == "experiments" else 404)
    assert "secret-" not in response.content.decode()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("experiments", "experiment", "access")]
)
def test_a_stranger_cannot_tell_what_is_there(as_bob: Client, run: Run, name: str) -> None:
    path = address(name, run)
    there = page(as_bob.get(path)).texts("main")
    remove(run)
    assert page(as_bob.get(path)).texts("main") == there


def test_a_stranger_cannot_tell_which_experiments_are_there(as_bob: Client, run: Run) -> None:
    told = {
        "".join(page(as_bob.get(f"/experiments/{pk}/")).texts("main")).replace(str(pk), "N")
        for pk in (run.experiment_id, 987654)
    }
    assert len(told) == 1


def test_each_door_is_shut_by_itself(alice: User, bob: User, run: Run) -> None:
    doors: list[Callable[[User], object]] = [
        lambda user: access.run_for(user, run.pk),
        lambda user: access.experiment_for(user, run.experiment_id or 0),
    ]
    for door in doors:
        assert door(alice) in (run, run.experiment)
        with pytest.raises(NotFound):
            door(bob)
    for rows in (access.runs_for, access.experiments_for):
        assert rows(alice).exists()
        assert not rows(bob).exists()


@pytest.mark.parametrize("name", NAMES)
def test_nobody_gets_the_sign_in_page(client: Client, run: Run, name: str) -> None:
    path = address(name, run)
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=/")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "access"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_pages_are_only_read(as_alice: Client, run: Run, name: str, method: str) -> None:
    assert getattr(as_alice, method)(address(name, run)).status_code == 405


def test_a_stranger_finds_nothing_by_name(as_bob: Client, as_alice: Client, run: Run) -> None:
    assert "secret-run" in as_alice.get("/find/?text=secret").content.decode()
    assert "secret-run" not in as_bob.get("/find/?text=secret").content.decode()
    assert "secret-" not in as_bob.get("/").content.decode()


def test_an_administrator_who_was_deactivated_is_signed_out(as_alice: Client, run: Run) -> None:
    user = as_alice.get(address("run", run)).wsgi_request.user
    user.is_active = False
    user.save()
    assert as_alice.get(address("run", run))["Location"].startswith("/login/")
