"""
The server's own log: plain lines on standard output, there as soon as they are written.

A disk that takes no more loses lines, the model's own too, and never fails who prints them.
"""

from __future__ import annotations

import errno
import io
import logging
import sys
import time
from typing import Any

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def configure() -> None:
    """Send our lines, and uvicorn's warnings, to standard output, each with its time. Leaves every other logger alone."""
    # What the model prints is in the log at once too, also where it is a pipe or a file.
    sys.stdout, sys.stderr = _lossy(sys.stdout), _lossy(sys.stderr)
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    formatter.converter = time.gmtime  # as the times of Studio's own lines about the model
    handler.setFormatter(formatter)
    for name, level in ((__package__, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False


def _lossy(stream: Any) -> Any:
    """Return a stream with a line for a buffer to the same descriptor. One without a descriptor stays as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = _Lossy(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )


class _Lossy(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as failure:
            if failure.errno not in _UNWRITABLE:
                raise
            return memoryview(data).nbytes
