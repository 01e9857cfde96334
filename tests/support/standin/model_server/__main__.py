"""Takes the model server's command line and does what the file `behaviour` in the model's folder says."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import memory


def main() -> int:
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    model, address = Path(given["--model"]), given["--socket"]
    kind, *arguments = (model / "behaviour").read_text().split()
    print("loading the stand-in", flush=True)  # noqa: T201 - what a model prints
    if kind == "exit":
        print("Traceback (most recent call last):\nValueError: boom", flush=True)  # noqa: T201
        return int(arguments[0])
    if kind == "hang":
        time.sleep(600)
    if kind in memory.WAYS:
        (model / "grandchild").write_text(memory.WAYS[kind](int(arguments[0])))
    if kind in ("family", "runaway"):
        started = subprocess.Popen(["sleep", "600"], start_new_session=kind == "runaway")
        (model / "grandchild").write_text(str(started.pid))
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    serve(address)
    return 0


def serve(address: str) -> None:
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            asking, _ = listening.accept()
            with asking, contextlib.suppress(OSError):  # who asked may be gone, as may happen
                asking.recv(65536)
                asking.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                )


if __name__ == "__main__":
    sys.exit(main())
