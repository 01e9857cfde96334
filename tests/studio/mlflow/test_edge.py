"""Around MLflow's application: a sign of life, and no body that is taken for whole too early."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from studio.lib import request_ids
from studio.mlflow.edge import PULSE, Edge, Gone
from studio.mlflow.routes import mlflow_route

PART = {"type": "http.request", "body": b"half", "more_body": True}
LAST = {"type": "http.request", "body": b" and half"}
LEFT = {"type": "http.disconnect"}


def asked(path: str, messages: list[dict[str, Any]], app: Any) -> list[Any]:
    """What the edge sends to one who asks this."""
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"x-request-id", b"mine")]}
    asyncio.run(Edge(app)(scope, receive, send))
    return sent


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("MLflow was asked")


def test_a_sign_of_life_does_not_wait_for_mlflow() -> None:
    start, body = asked(PULSE, [], never)
    assert (start["status"], body["body"]) == (204, b"")


@pytest.mark.parametrize("messages", [[LEFT], [PART, LEFT]])
def test_a_body_that_ends_early_is_nobodys_body(messages: list[dict[str, Any]]) -> None:
    async def flask(scope: Any, receive: Any, send: Any) -> None:
        """Takes every message that promises no more for the last one, as MLflow does."""
        while (await receive()).get("more_body"):
            pass
        await send("stored")

    assert asked("/x", list(messages), flask) == []


def test_a_body_that_ends_early_in_a_task_of_its_own_is_no_error() -> None:
    async def grouped(scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(receive())

    assert asked("/x", [LEFT], grouped) == []


def test_who_leaves_after_the_body_is_told_of_as_ever() -> None:
    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            await send(await receive())

    assert asked("/x", [PART, LAST, LEFT], streaming) == [PART, LAST, LEFT]


def test_another_error_is_not_hidden() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        asked("/x", [], broken)
    assert not issubclass(ValueError, Gone)


@pytest.mark.parametrize(("status", "told"), [(200, False), (404, False), (500, True)])
def test_what_fails_is_logged_by_its_route_and_the_id_that_web_has_given_it(
    caplog: pytest.LogCaptureFixture, status: int, told: bool
) -> None:
    known = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        known.append(request_ids.current())
        await send({"type": "http.response.start", "status": status, "headers": []})

    asked("/api/2.0/mlflow-artifacts/artifacts/1/somebodys\nsecret", [], app)
    assert known == ["mine"]
    route = "api/2.0/mlflow-artifacts/artifacts/…"
    lines = [line for line in caplog.messages if f"status=500 method=GET route={route} " in line]
    assert bool(lines) is told
    assert "somebodys" not in caplog.text


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/2.0/mlflow/runs/search", "api/2.0/mlflow/runs/search"),
        ("/mlflow/ajax-api/2.0/mlflow/runs/get", "ajax-api/2.0/mlflow/runs/get"),
        ("/api/3.0/mlflow/logged-models/m-1a2b/params", "api/3.0/mlflow/logged-models/…/params"),
        ("/api/3.0/mlflow/traces/somebodys/tags", "api/3.0/mlflow/traces/…/tags"),
        ("/api/2.0/mlflow-artifacts/artifacts/a/b/c", "api/2.0/mlflow-artifacts/artifacts/…"),
        ("/api/2.0/mlflow/Runs/1/2/3/4/5/6", "api/2.0/mlflow/…/…/…/…"),
        ("/graphql", "graphql"),
        ("/get-artifact", "get-artifact"),
        ("/model-versions/get-artifact", "model-versions/get-artifact"),
        ("/v1/traces", "v1/traces"),
        ("/", "mlflow"),
    ],
)
def test_a_route_is_told_without_anybodys_names(path: str, route: str) -> None:
    assert mlflow_route(path) == route
