"""
Runs inside a model's environment: loads every model once, and serves each in a fork.

`python fork_servers.py FOLDER SOCKETS` serves FOLDER/<model> on SOCKETS/<model> until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from model_server import loading, log, serving


def main(folder: Path, sockets: Path) -> None:
    log.configure()
    scorers = {path.parent.name: loading.load(path.parent) for path in folder.glob("*/MLmodel")}
    children = []
    for name, scorer in scorers.items():
        child = os.fork()
        if not child:
            serving.serve(scorer, sockets / name, grace=1)
            os._exit(0)
        children.append(child)

    def stop(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
