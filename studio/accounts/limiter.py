"""Stops whoever guesses: after ten failures in a quarter of an hour, that subject at that address must wait.

The limit is one of our own because a right password must cost no statement more than before (Basic
authentication sends it with every request), and because guesses made at the same time must not overrun it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.timezone import now

from studio.accounts.models import Attempts, AuditEvent
from studio.lib.errors import TooManyAttempts

log = logging.getLogger(__name__)

_Proved = TypeVar("_Proved")

ALLOWED = 10
WITHIN = timedelta(minutes=15)
LOCKED_FOR = timedelta(minutes=15)
TOLD = (
    "Too many attempts failed. Wait a quarter of an hour and try again, or ask an administrator to let you "
    "try at once."
)


def address_of(request: HttpRequest | None) -> str:
    """Where the request came from, as the connection says: no header is believed.

    Of an IPv6 address the network counts: whoever has one address there has them all.
    """
    text = request.META.get("REMOTE_ADDR", "") if request else ""
    try:
        found = ip_address(text)
    except ValueError:  # a Unix socket has no address
        return text[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or f"{IPv6Address(int(found) >> 64 << 64)}/64")
    return str(found)


def guess(subject: str, address: str, prove: Callable[[], _Proved | None]) -> _Proved | None:
    """Return what `prove` returns, where None is a failure and counts. Raises TooManyAttempts, and asks not, when
    there were too many. Those of one subject and address wait for each other; a success forgets the failures.
    """
    whose = {"subject": subject[:150], "address": address}
    with transaction.atomic():
        _queue(subject, address)
        known = Attempts.objects.filter(**whose).first()
        wait = _seconds_left(known)
        proved = prove() if not wait else None
        if proved is not None and known is not None:
            known.delete()
        if proved is None and not wait:
            _count(known or Attempts(**whose, count=0, since=now()))
    if wait:
        raise TooManyAttempts(TOLD, retry_after=wait)
    return proved


def locked(subject: str | OuterRef) -> QuerySet[Attempts]:
    """The addresses from which this subject is locked out now."""
    return Attempts.objects.filter(subject=subject, locked_until__gt=now())


def forget(subject: str) -> None:
    Attempts.objects.filter(subject=subject).delete()


def _queue(subject: str, address: str) -> None:
    """Wait for those who are trying the same, until the transaction ends: else many at once overrun the limit."""
    name = hashlib.sha256(f"attempts {subject} {address}".encode()).digest()[:8]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(name, signed=True)])


def _seconds_left(known: Attempts | None) -> int:
    if known is None or known.locked_until is None:
        return 0
    return max(0, ceil((known.locked_until - now()).total_seconds()))


def _count(failed: Attempts) -> None:
    """Count one failure more; lock out at the last that is allowed."""
    moment = now()
    if failed.locked_until or moment - failed.since > WITHIN:
        failed.count, failed.since, failed.locked_until = 0, moment, None
    failed.count += 1
    log.warning(
        "refused subject=%r address=%s failures=%d", failed.subject, failed.address, failed.count
    )
    if failed.count >= ALLOWED:
        failed.locked_until = moment + LOCKED_FOR
        log.warning("locked out subject=%r address=%s", failed.subject, failed.address)
        AuditEvent.objects.create(
            actor="nobody who is known",
            action="lock_out",
            target=f"{failed.subject} from {failed.address}",
        )
    failed.save()
    _forget_old(moment - WITHIN - LOCKED_FOR)


def _forget_old(before: datetime) -> None:
    """Delete some of those that count no more. What another deletes just now is left to it."""
    old = Attempts.objects.filter(since__lt=before).select_for_update(skip_locked=True)
    Attempts.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:100])).delete()
