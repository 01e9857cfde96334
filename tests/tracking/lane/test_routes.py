"""The lane's routes: each is read by somebody, guarded by the lane last, and raises no event in MLflow's server."""

from __future__ import annotations

import inspect
import json
from typing import NoReturn

import pytest
from mlflow.server import handlers

from studio.accounts.models import User
from studio.lane import answers
from studio.lane.answers import answer
from studio.lane.asking import Asker
from studio.lane.guarded import answered
from studio.lane.messages import Body
from studio.lane.routes import Route
from studio.mlflow.guards import TABLE
from tracking.lane import LANE
from tracking.lane.allowing import may_change_run
from tracking.lane.routes import READERS


def handlers_of(route: str) -> list[str]:
    """The source of what MLflow's own server does on this route."""
    path = f"/api/2.0/{route}"
    return [
        inspect.getsource(found) for known, found, _ in handlers.get_endpoints() if known == path
    ]


def test_every_route_that_is_announced_is_read() -> None:
    assert set(READERS) == set(LANE.writing)


@pytest.mark.parametrize("prefix", ["/api/2.0/", "/ajax-api/2.0/"])
@pytest.mark.parametrize("route", LANE.writing)
def test_guards_of_others_come_before_the_lanes(route: str, prefix: str) -> None:
    assert TABLE.on("POST", prefix + route)[-1].before is answered


@pytest.mark.parametrize("route", LANE.writing)
def test_mlflows_server_raises_no_webhook_there(route: str) -> None:
    """Once it does, the lane has to raise the same."""
    [source] = handlers_of(route)
    assert "deliver_webhook" not in source


def test_the_search_for_webhooks_finds_those_that_there_are() -> None:
    [source] = handlers_of("mlflow/registered-models/create")
    assert "deliver_webhook" in source


def test_a_mistake_of_studios_own_is_told_in_mlflows_form(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past Django there is nobody else to tell it."""

    def broken(body: Body) -> NoReturn:
        raise RuntimeError("secret detail")

    monkeypatch.setitem(answers.READERS, "mlflow/runs/set-tag", Route(broken, may_change_run))
    told = answer("mlflow/runs/set-tag", Asker(alice.pk), Body(b"{}", "application/json"))
    assert told.status == 500
    assert json.loads(told.body)["error_code"] == "INTERNAL_ERROR"
    assert b"secret detail" not in told.body
