"""One replica, from its model's files to its exit code: in a process of its own, or in a fork of a template."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from . import loading, serving

if TYPE_CHECKING:
    from pathlib import Path

EXIT_STOPPED = 0  # SIGTERM, after everything in flight was answered or given up
EXIT_NOT_LOADED = 3  # loading raised; its traceback is on standard error
EXIT_NO_SOCKET = 4  # the socket could not be bound


def run(model: Path, path: Path, grace: int) -> int:
    """Load the model, then serve it on the socket `path` until SIGTERM. Returns the exit code.

    Being able to connect means being ready to answer.
    """
    try:
        scorer = loading.load(model)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a model raises, it is told
        traceback.print_exc()
        return EXIT_NOT_LOADED
    try:
        serving.serve(scorer, path, grace=grace)
    except OSError as failure:
        logging.getLogger(__package__).error("cannot serve on %s: %s", path, failure)
        return EXIT_NO_SOCKET
    return EXIT_STOPPED
