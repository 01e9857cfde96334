"""The same calls at the other addresses of MLflow's API, and from a browser."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from tests.differential.arena import Arena
from tests.differential.cases import TWINS, Case, alone, log_batch, log_metric, set_tag
from tests.differential.cast import ADMIN
from tests.differential.lanes import Fast
from tests.differential.requests import good
from tests.support.live import PASSWORD, Studio
from tracking.lane import LANE

CASES = [
    *(good(route) for route in LANE.writing),
    log_metric("a//b", 1),
    log_metric("a", 1, run_id="f" * 32),
    log_batch(metrics="x"),
    set_tag("a", "1").by("reader"),
    set_tag("a", "1").by("editor"),
    replace(set_tag("a", "1"), content_type="text/plain"),
]


@pytest.mark.parametrize("prefix", TWINS)
def test_the_twin_addresses_answer_as_mlflow_does(arena: Arena, prefix: str) -> None:
    arena.compare(alone(case.below(prefix)) for case in CASES)


@pytest.mark.parametrize("prefix", TWINS)
def test_a_browser_is_answered_as_mlflow_answers(arena: Arena, live: Studio, prefix: str) -> None:
    with closing(Fast(live.port, {ADMIN: browser(live)})) as fast:
        cases = [case.below(prefix) for case in CASES if case.who == ADMIN]
        replace(arena, fast=fast).compare(map(alone, cases))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_other_methods_are_answered_as_mlflow_answers(arena: Arena, method: str) -> None:
    cases = [replace(good(route), name=method, method=method) for route in LANE.writing]
    arena.compare(map(alone, cases))


@pytest.mark.parametrize("version", ["/api/1.0", "/api/3.0", "/ajax-api/3.0"])
def test_other_versions_are_answered_as_mlflow_answers(arena: Arena, version: str) -> None:
    arena.compare(alone(good(route).below(version)) for route in LANE.writing)


def browser(live: Studio) -> dict[str, str]:
    """The headers of an administrator's browser on a page of Studio."""
    with httpx.Client(base_url=live.url, headers={"Origin": live.url}) as client:
        client.get("/login/")
        form = {
            "username": ADMIN,
            "password": PASSWORD,
            "csrfmiddlewaretoken": client.cookies[f"studio_csrf_{live.port}"],
        }
        assert client.post("/login/", data=form).status_code == 302
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return {"Cookie": cookies, "Origin": live.url, "Sec-Fetch-Site": "same-origin"}


def test_a_foreign_page_cannot_write_with_a_browsers_session(arena: Arena, live: Studio) -> None:
    foreign = browser(live) | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with closing(Fast(live.port, {ADMIN: foreign})) as fast:
        played = replace(arena, fast=fast).play(alone(case) for case in written_by_admin())
    assert {pair.fast.status for pair in played} == {403}
    assert all(pair.fast.wrote_nothing for pair in played)


def written_by_admin() -> list[Case]:
    return [good(route) for route in LANE.writing]
