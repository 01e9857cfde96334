"""Whether a model server still answers: asked for a sign of life now and then, and never waited for.

A process that was stopped lets us connect, and does not answer. /ping is answered while the model predicts,
unless its code keeps Python's interpreter to itself: a silence of some seconds is no reason to end it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time

from studio.lib import peers

EVERY = 3.0  # seconds between questions
SILENT = 10.0  # seconds without an answer after which a replica is not ready
DEAD = 60.0  # and after which it is ended
_ASK_ANEW = 20.0  # seconds after which one question is given up, and another asked
_LONGEST_LOOK = 5.0  # seconds: we may have been stopped ourselves in between
_QUESTION = b"GET /ping HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
_ANSWER = re.compile(rb"HTTP/1\.[01] 200\b")


class Pulse:
    """`silence` is how long it has not answered, in seconds; 0: there is no question that it has not answered yet."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self.pid = pid
        self.every = EVERY  # seconds between questions
        self.silence = 0.0
        self.asking: socket.socket | None = None  # readable when the answer is there
        self._asked_at = float("-inf")
        self._looked_at = time.monotonic()
        self._answered = True
        self._heard = False

    @property
    def dull(self) -> bool:
        """Whether it was asked at an earlier look and has not answered."""
        return self.silence > 0

    @property
    def well(self) -> bool:
        """Whether it has answered, and whatever it was asked at an earlier look."""
        return self._heard and self.silence == 0

    def look(self) -> None:
        """Hear whether it has answered, and ask again when it is time."""
        now = time.monotonic()
        passed, self._looked_at = min(now - self._looked_at, _LONGEST_LOOK), now
        if self.asking is not None:
            self._hear()
        self.silence = 0.0 if self._answered else self.silence + passed
        if self.asking is not None and now - self._asked_at > _ASK_ANEW:
            self.close()
        if self.asking is None and now - self._asked_at >= self.every:
            self._ask(now)

    def close(self) -> None:
        if self.asking is not None:
            self.asking.close()
            self.asking = None

    def _ask(self, now: float) -> None:
        self._asked_at, self._answered = now, False
        self.asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self.asking.connect(self.address)
            if peers.pid_of(self.asking) == self.pid:
                self.asking.send(_QUESTION)
            else:  # its socket was replaced, perhaps by a link to another's, which shall not answer for it
                self.close()
        except OSError:  # nobody listens, or too many wait already
            self.close()

    def _hear(self) -> None:
        assert self.asking is not None
        told = b""
        with contextlib.suppress(ConnectionError):
            try:
                told = self.asking.recv(1024)
            except BlockingIOError:
                return
        self._answered = _ANSWER.match(told) is not None
        self._heard |= self._answered
        self.close()
