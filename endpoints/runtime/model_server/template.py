"""
The template: imports once what the models of its environment need, and forks replicas that have it at once.

`python -m model_server.template --socket PATH [--flavor NAME]...` listens when it has imported. Whoever
connects sends one JSON packet per replica, {"model", "socket", "folder"}, with the descriptor of the
replica's log, and is answered {"pid"}, or {"error"}. Whenever a replica ends, {"ended": pid, "code": n} is
sent; a negative code is a signal. Replicas lead groups of their own and outlive the template.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import imports, log, replica, serving

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_IDLE = 0
EXIT_TOO_BIG = 5  # it holds more than it may
_LARGEST = 64 * 1024  # bytes of one packet
_TICK = 2.0  # seconds between looks at the clock and at its own memory
_STATM_RESIDENT = 1  # the field of /proc/self/statm

logger = logging.getLogger(__package__)


class Template:
    def __init__(self, listener: socket.socket, idle: float, memory: int, grace: int) -> None:
        self._listener = listener
        self._idle, self._memory, self._grace = idle, memory, grace
        self._agent: socket.socket | None = None
        self._replicas: set[int] = set()
        self._used_at = time.monotonic()
        self._asked_to_end = False
        # A signal writes a byte here, which ends the wait for events.
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)

    def run(self) -> int:
        """Serve until it is asked to end, is idle or too big. Returns the exit code."""
        while not self._asked_to_end:
            if _resident() > self._memory:
                logger.warning("holds more than %d MiB: ending", self._memory >> 20)
                return EXIT_TOO_BIG
            if not self._replicas and time.monotonic() - self._used_at > self._idle:
                logger.info("idle for %.0f s: ending", self._idle)
                return EXIT_IDLE
            self._wait()
            self._reap()
        return EXIT_IDLE

    def _end(self, *_: object) -> None:
        self._asked_to_end = True

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ, self._drain)
            selector.register(self._listener, selectors.EVENT_READ, self._accept)
            if self._agent is not None:
                answer = partial(self._answer, self._agent)
                selector.register(self._agent, selectors.EVENT_READ, answer)
            for key, _ in selector.select(_TICK):
                react: Callable[[], None] = key.data
                react()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _accept(self) -> None:
        """The newest is the agent: an earlier one has died, or it would still be the only one."""
        if self._agent is not None:
            self._agent.close()
        self._agent, _ = self._listener.accept()

    def _answer(self, agent: socket.socket) -> None:
        if agent is not self._agent:  # another has come meanwhile
            return
        descriptors: list[int] = []
        try:
            packet, descriptors, _, _ = socket.recv_fds(agent, _LARGEST, 1)
        except OSError:
            packet = b""
        try:
            if not packet:
                agent.close()
                self._agent = None
                return
            self._tell(self._fork(json.loads(packet), descriptors[0]))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _tell(self, message: dict[str, Any]) -> None:
        """An agent that is away is told nothing: it looks for itself when it is back."""
        if self._agent is not None:
            with contextlib.suppress(OSError):
                self._agent.send(json.dumps(message).encode())

    def _fork(self, asked: dict[str, Any], output: int) -> dict[str, Any]:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with warnings.catch_warnings():
                # Native threads, such as those of OpenBLAS, have handlers of their own for a fork.
                warnings.simplefilter("ignore")
                pid = os.fork()
        except OSError as failure:
            return {"error": str(failure)}
        if pid == 0:
            self._be_replica(asked, output)
        self._replicas.add(pid)
        self._used_at = time.monotonic()
        return {"pid": pid}

    def _be_replica(self, asked: dict[str, Any], output: int) -> None:
        """Never returns. What the template holds is closed first: its socket, its agent, its signals."""
        code = replica.EXIT_NOT_LOADED
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            for stream in (1, 2):
                os.dup2(output, stream)
            for descriptor in (output, self._woken, self._wake):
                os.close(descriptor)
            self._listener.close()
            if self._agent is not None:
                self._agent.close()
            os.chdir(asked["folder"])
            _forget_the_past()
            code = replica.run(Path(asked["model"]), Path(asked["socket"]), self._grace)
        except BaseException:  # noqa: BLE001 - it must not go on as a second template
            logger.exception("the replica ended")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._replicas:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._replicas:  # else something that an import has started
                self._replicas.discard(pid)
                self._used_at = time.monotonic()
                self._tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _forget_the_past() -> None:
    """Random numbers of replicas differ. Python's own generator takes care of itself."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[_STATM_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    given = _arguments()
    log.configure()
    faulthandler.enable()
    imports.import_for(given.flavor)
    # Replicas share what is there now: no collection of theirs may touch it.
    gc.collect()
    gc.freeze()
    with serving.bound(given.socket, socket.SOCK_SEQPACKET) as listener:
        listener.listen()
        logger.info("ready to fork on %s", given.socket)
        return Template(listener, given.idle, given.memory_mb << 20, given.grace).run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="model_server.template", description="Fork replicas that have imported already."
    )
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to be asked on")
    parser.add_argument("--flavor", action="append", default=[], help="flavour to import for")
    parser.add_argument("--idle", type=float, default=600, help="seconds without replicas")
    parser.add_argument("--memory-mb", type=int, default=1024, help="MiB that it may hold")
    parser.add_argument("--grace", type=int, default=10, help="seconds to finish what is in flight")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
