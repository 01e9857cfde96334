"""The one thread that runs model code."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from .answer import Answer

Call = Callable[[], "Answer"]


class Worker:
    """
    Runs calls one at a time, in the order they came.

    Not a ThreadPoolExecutor: the interpreter waits for an executor's thread when it ends,
    and a prediction that never returns must not keep a stopped server alive.
    """

    def __init__(self) -> None:
        self.busy = False
        self._waiting: SimpleQueue[tuple[Future[Answer], Call]] = SimpleQueue()
        threading.Thread(target=self._run, name="predict", daemon=True).start()

    def submit(self, call: Call) -> Future[Answer]:
        """Queue `call`. Cancelling the future before its turn drops it."""
        future: Future[Answer] = Future()
        self._waiting.put((future, call))
        return future

    def _run(self) -> None:
        while True:
            future, call = self._waiting.get()
            if not future.set_running_or_notify_cancel():
                continue
            self.busy = True
            try:
                future.set_result(call())
            except BaseException as failure:  # noqa: BLE001 - belongs to who waits; the thread lives on
                future.set_exception(failure)
            self.busy = False
