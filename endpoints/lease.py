"""Whoever works on a deployment holds its lease and renews it; one that has run out is anybody's."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from endpoints.models import Deployment, Wanted

log = logging.getLogger(__name__)

SECONDS = 12  # how long a deployment waits whose worker has died
_RENEWAL = (
    3.0  # seconds between renewals; also how soon a long step learns that it is no longer wanted
)
_RETURN = 5.0  # seconds to give a lease back in: a database that restarts is there again sooner


class Lease:
    """`lost` is set when the work should stop: the lease is another's now, or the deployment shall end."""

    def __init__(self, pk: int) -> None:
        self.pk = pk
        self.holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.lost = Event()
        self.done = Event()

    def keep(self) -> None:
        try:
            while not self.done.wait(_RENEWAL):
                try:
                    mine = Deployment.objects.take_lease(self.pk, self.holder, SECONDS)
                    wanted = (
                        Deployment.objects.filter(pk=self.pk)
                        .values_list("wanted", flat=True)
                        .first()
                    )
                    if not mine or wanted != Wanted.LIVE:
                        self.lost.set()
                except DatabaseError as failure:  # it may come back before the lease runs out
                    log.warning("lease deployment=%s not renewed: %s", self.pk, failure)
        finally:
            connection.close()

    def give_back(self) -> None:
        """Free it for the next step. Where the database stays away it runs out by itself."""
        deadline = time.monotonic() + _RETURN
        while True:
            try:
                Deployment.objects.free_lease(self.pk, self.holder)
                return
            except (OperationalError, InterfaceError) as failure:
                connection.close()
                if time.monotonic() > deadline:
                    log.warning("lease deployment=%s not given back: %s", self.pk, failure)
                    return
                time.sleep(0.2)


@contextmanager
def lease(pk: int) -> Iterator[Lease | None]:
    """Hold the lease of a deployment while the block runs. None: somebody else holds it."""
    held = Lease(pk)
    if not Deployment.objects.take_lease(pk, held.holder, SECONDS):
        yield None
        return
    renewal = Thread(target=held.keep, name=f"lease-{pk}", daemon=True)
    renewal.start()
    try:
        yield held
    finally:
        held.done.set()
        renewal.join()
        held.give_back()
