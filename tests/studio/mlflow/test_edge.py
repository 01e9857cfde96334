"""Around MLflow's application: a sign of life, and no body that is taken for whole too early."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from studio.mlflow.edge import PULSE, Edge, Gone

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

    asyncio.run(Edge(app)({"type": "http", "path": path}, receive, send))
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
