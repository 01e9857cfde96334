"""The answer's JSON around what PostgreSQL has made: put together once, since it may be a hundred megabytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.lane.asking import Done, Elsewhere, Seen


def one(name: bytes, rows: Sequence[Sequence[Any]]) -> Done:
    """An object with the JSON that ends the one row. Raises Stranger, and Elsewhere where nothing is to be seen."""
    seen = Seen.of(rows[0] if rows else None)
    found = rows[0][-1]
    if found is None:
        raise Elsewhere
    return Done(seen, page(name, found))


def rows(
    seen: Seen, name: bytes, found: Sequence[Sequence[Any]], token: bytes | None = None
) -> Done:
    """A page of the JSON that each row is."""
    pieces = [b"[", b",".join(row for (row,) in found), b"]"] if found else []
    return Done(seen, page(name, *pieces, token=token))


def page(name: bytes, *pieces: bytes, token: bytes | None = None) -> bytes:
    """An object with a field of this name, a list mostly, which the pieces are, and the token of the next page; each, if there is one."""
    parts = [b'"', name, b'":', *pieces] if pieces else []
    if token is not None:
        parts += [b"," if pieces else b"", b'"next_page_token":"', token, b'"']
    return b"".join([b"{", *parts, b"}"])
