"""The command: `python -m model_server --model DIR --socket PATH`."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
import traceback
from pathlib import Path

from . import loading, log, serving

EXIT_STOPPED = 0  # SIGTERM, after everything in flight was answered or given up
EXIT_NOT_LOADED = 3  # loading raised; its traceback is on standard error
EXIT_NO_SOCKET = 4  # the socket could not be bound


def main() -> int:
    """Load the model, then serve it. Being able to connect means being ready to answer."""
    given = _arguments()
    log.configure()
    faulthandler.enable()  # a crash in native code leaves a traceback, too
    try:
        scorer = loading.load(given.model)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a model raises, it is told
        traceback.print_exc()
        return EXIT_NOT_LOADED
    try:
        serving.serve(scorer, given.socket, grace=given.grace)
    except OSError as failure:
        logging.getLogger(__package__).error("cannot serve on %s: %s", given.socket, failure)
        return EXIT_NO_SOCKET
    return EXIT_STOPPED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="model_server", description="Serve one MLflow model.")
    parser.add_argument("--model", type=Path, required=True, help="folder that has the MLmodel")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument(
        "--grace",
        type=int,
        default=10,
        help="seconds to finish what is in flight (default: 10)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
