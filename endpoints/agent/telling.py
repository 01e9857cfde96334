"""Has deployments looked at, from a thread of its own: a broker that hangs holds up seconds, and the agent has none."""

from __future__ import annotations

import logging
import threading

from endpoints import tasks

log = logging.getLogger(__name__)


class Teller:
    """Tells the broker in the order it was asked. A deployment that waits already is told of once.

    What the broker does not take is lost: the sweep finds it.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}  # keys of deployments, in order
        self._under_way = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, deployment: int) -> None:
        """Returns at once."""
        with self._changed:
            self._waiting[deployment] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
                self._thread.start()
            self._changed.notify()

    def settled(self) -> bool:
        """Whether the broker was asked to take all of it."""
        with self._changed:
            return not self._waiting and not self._under_way

    def _run(self) -> None:
        while True:
            with self._changed:
                self._under_way = False
                self._changed.wait_for(lambda: self._waiting)
                deployment = next(iter(self._waiting))
                del self._waiting[deployment]
                self._under_way = True
            try:
                tasks.reconcile.delay(deployment)
            except Exception as failure:  # noqa: BLE001 - whatever it is, the next one is told
                log.warning("deployment=%s waits for the sweep: %s", deployment, failure)


teller = Teller()
