"""Commands that clean up when they are asked to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django.core.management.base import CommandError


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the block as an error does. Raises CommandError then."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("Ended before it was done.") from None
    finally:
        signal.signal(signal.SIGTERM, before)
