"""What the machine refuses, in words for people: a full disk, a database that is away. It passes, and may be repeated."""

from __future__ import annotations

import errno

import psycopg

_DISK = {
    errno.ENOSPC: "has no space left",
    errno.EDQUOT: "has no space left for Studio's account",
    errno.EROFS: "can only be read",
}
# sqlstate: https://www.postgresql.org/docs/current/errcodes-appendix.html
_DATABASE = {
    "53100": "The database's disk has no space left, so this was not stored. Free some, then repeat it.",
    "53300": "The database takes no more connections, so this was not done. Repeat it in a moment.",
    # MLflow looks for the word, and repeats it itself.
    "40P01": "This and another writer waited for each other (a deadlock), so it was not done. Repeat it.",
    "25006": "The database can only be read at the moment, so this was not stored. Repeat it later.",
}
_AWAY = (
    "The database is not answering, so it is not certain that this was done. Repeat it in a moment."
)
_BUSY = "The database could not do this now, so it was not done. Repeat it in a moment."
_GONE = ("08", "57P")  # what is no connection, and what is being shut down


def told(failure: BaseException | None) -> str | None:
    """What to tell of a failure, by it or by what caused it. None: it is no trouble of the machine's."""
    while failure is not None:
        if isinstance(failure, psycopg.Error) and (known := _DATABASE.get(failure.sqlstate or "")):
            return known
        if isinstance(failure, psycopg.OperationalError):
            return _AWAY if (failure.sqlstate or "08").startswith(_GONE) else _BUSY
        if isinstance(failure, OSError) and failure.errno in _DISK:
            what = _DISK[failure.errno]
            return f"The disk {what}, so this was not stored. An administrator must see to it; then repeat it."
        failure = failure.__cause__
    return None
