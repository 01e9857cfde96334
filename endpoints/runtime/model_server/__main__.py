"""The command: `python -m model_server --model DIR --socket PATH`."""

from __future__ import annotations

import argparse
import faulthandler
import sys
from pathlib import Path

from . import log, replica


def main() -> int:
    given = _arguments()
    log.configure()
    faulthandler.enable()  # a crash in native code leaves a traceback, too
    return replica.run(given.model, given.socket, given.grace)


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
