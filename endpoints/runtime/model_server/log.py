"""The server's own log: plain lines on standard output, there as soon as they are written."""

from __future__ import annotations

import io
import logging
import sys
import time


def configure() -> None:
    """Send our lines, and uvicorn's warnings, to standard output, each with its time. Leaves every other logger alone."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the model prints is in the log at once too, also where it is a pipe or a file.
        sys.stdout.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    formatter.converter = time.gmtime  # as the times of Studio's own lines about the model
    handler.setFormatter(formatter)
    for name, level in ((__package__, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
