"""From a loaded model to answers on a Unix socket, until SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from .app import App
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scoring import Scorer

# Longer than a client keeps an idle connection: a request must not meet our closing it.
KEEP_ALIVE = 300  # seconds

log = logging.getLogger(__name__)


def serve(scorer: Scorer, path: Path, *, grace: int) -> None:
    """
    Answer on the socket `path` until SIGTERM, then finish what is in flight and return.

    What has not finished after `grace` seconds is given up, and the process ends here.
    Raises OSError when the socket cannot be had.
    """
    worker = Worker()
    app = App(scorer, worker)
    with bound(path) as listener:
        _run(app, listener, grace)
    log.info("stopped")
    if worker.busy:
        # Ending the interpreter under a thread in native code can crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@contextmanager
def bound(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """
    Bind a socket that only its owner may connect to, and remove its file afterwards.

    A socket left behind at `path` is replaced; any other file is FileExistsError.
    """
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(f"{path} exists and is not a socket")
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, kind) as listener:
        _bind_private(listener, path)
        ours = _identity(path)
        try:
            yield listener
        finally:
            if path.exists() and _identity(path) == ours:  # else a successor's
                path.unlink()


def _bind_private(listener: socket.socket, path: Path) -> None:
    previous = os.umask(0o177)  # not chmod: there is no moment when others may connect
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)


def _identity(path: Path) -> tuple[int, int]:
    """Tell files at one path apart. The inode's number alone is soon used again."""
    found = path.stat()
    return found.st_ino, found.st_ctime_ns


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("serving on %s", listener.getsockname())


def _run(app: App, listener: socket.socket, grace: int) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=grace,
        )
    )

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it runs, and repeats the signal afterwards to
    # whatever was there before. With this there, that is a normal end and not death by signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
