"""Who asks, and what the lane's statements tell of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from studio.lane import wires


class Asker(NamedTuple):
    """Who sends a request: the digest of a token, or the id of a user who has been let in already.

    `username`: that a token must belong to, where the request names one.
    """

    key: str | int
    username: str | None = None

    @property
    def by_token(self) -> bool:
        return isinstance(self.key, str)

    @property
    def given(self) -> dict[str, Any]:
        if self.by_token:
            return {"asker": self.key, "username": self.username}
        return {"asker": self.key}


class Stranger(Exception):
    """The token lets nobody in."""


class Elsewhere(Exception):
    """This is for MLflow's own server to answer."""


class Denied(Exception):
    """The user may not do this, or must not learn that there is nothing to do it to."""


class Seen(NamedTuple):
    """What every statement's row begins with. `level` and `stage` are a run's, if one is asked about: None where it does not exist.

    `token`: its id, where its last use is to be noted again.
    """

    token: int | None
    username: str
    is_superuser: bool
    level: int | None
    stage: str | None

    @classmethod
    def of(cls, row: Sequence[Any] | None) -> Seen:
        """Raises Stranger where nobody was found."""
        if row is None:
            raise Stranger
        return cls._make(row[:5])


class Done(NamedTuple):
    """What was stored for good: for whom, and the answer's JSON."""

    seen: Seen
    told: bytes = b"{}"


_USED = b"""
    UPDATE accounts_accesstoken SET last_used_at = now()
    WHERE id = %(token)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


def note_use(seen: Seen) -> None:
    """Remember to the minute that the token was used, as `AccessToken.note_use` does."""
    if seen.token is not None:
        wires.run(_USED, {"token": seen.token})
