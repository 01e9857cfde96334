"""The answer's JSON around what PostgreSQL has made: put together once, since it may be a hundred megabytes."""

from __future__ import annotations


def page(name: bytes, *pieces: bytes, token: bytes | None = None) -> bytes:
    """An object with a list of this name, which the pieces are, and the token of the next page; each, if there is one."""
    parts = [b'"', name, b'":', *pieces] if pieces else []
    if token is not None:
        parts += [b"," if pieces else b"", b'"next_page_token":"', token, b'"']
    return b"".join([b"{", *parts, b"}"])
