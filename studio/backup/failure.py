"""What ends a backup or a restore."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BackupFailed(Exception):
    """For the person at the terminal: what happened, to which thing, what to do next."""


@contextmanager
def full_disk_told(place: Path, then: str) -> Iterator[None]:
    """Raises BackupFailed in place of the system's words for a disk without room. Others go on up."""
    try:
        yield
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BackupFailed(f"{failure.strerror}: {place}. {then}") from None
