"""The one way into the lane from outside: what it needs of MLflow is imported when it is first called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.lib.imports import load

if TYPE_CHECKING:
    from studio.lane.answers import Answer


def warm_up() -> None:
    """Import it now: that takes seconds, which the first request would wait."""
    load("studio.lane.answers")


def answer(
    route: str, key: str | int, username: str | None, raw: bytes, content_type: str | None
) -> Answer | None:
    """The answer to a body that was sent to a route of the lane. None: nobody was found to ask.

    `key` is a token's digest or a user's id, and `username` whom the token must belong to, if that was said.
    """
    lane: Any = load("studio.lane.answers")
    try:
        found: Answer = lane.answer(route, lane.Asker(key, username), lane.Body(raw, content_type))
    except lane.Stranger:
        return None
    return found


def look(
    route: str, key: str | int, username: str | None, asked: tuple[str, str, bytes, str | None]
) -> Answer | None:
    """The answer to what was asked of a route that reads: by this method, query, body and content type.

    None: MLflow's own server is to be asked, or nobody was found to ask. `key` and `username` as above.
    """
    lane: Any = load("studio.lane.answers")
    method, query, raw, content_type = asked
    try:
        found: Answer = lane.look(
            route,
            lane.Asker(key, username),
            lane.Asked(method, query, lane.Body(raw, content_type)),
        )
    except (lane.Stranger, lane.Elsewhere):
        return None
    return found
