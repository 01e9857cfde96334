"""How the lane's statements begin, and are put together: who asks is found by each of them."""

from __future__ import annotations

_BEARER = """
    SELECT u.username, u.is_superuser,
           CASE WHEN t.last_used_at > now() - interval '1 minute' THEN NULL ELSE t.id END AS token
    FROM accounts_accesstoken t JOIN accounts_user u ON u.id = t.user_id
    WHERE t.digest = %(asker)s AND t.revoked_at IS NULL AND u.is_active
    AND u.username = coalesce(%(username)s::text, u.username)
"""
_USER = """
    SELECT u.username, u.is_superuser, NULL::bigint AS token
    FROM accounts_user u WHERE u.id = %(asker)s::bigint AND u.is_active
"""
# What `Seen` reads, where no run is asked about.
WHO = ("a.token", "a.username", "a.is_superuser", "NULL::int", "NULL::text")


def asker(by_token: bool) -> str:
    """The subquery that finds who asks."""
    return _BEARER if by_token else _USER


def statement(steps: dict[str, str], told: list[str], source: str) -> bytes:
    """Subqueries, each computed once, and the row that is made of them."""
    named = ", ".join(f"{name} AS {_kept(text)} ({text})" for name, text in steps.items())
    return f"WITH {named} SELECT {', '.join(told)} FROM {source}".encode()  # noqa: S608 - constants


def _kept(text: str) -> str:
    return "MATERIALIZED" if text.lstrip().startswith("SELECT") else ""
