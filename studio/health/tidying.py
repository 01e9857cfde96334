"""What is done now and then, by a worker: old rows go, and what takes long to measure is measured."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now

from studio.health.models import Measure, Process, Window

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
_PATIENCE = 600.0  # seconds that one folder may take
ARTIFACTS, ENVIRONMENTS = "artifacts", "environments"


def forget_old() -> None:
    Process.objects.filter(seen_at__lt=now() - Process.KEPT).delete()
    Window.objects.filter(at__lt=now() - Window.KEPT).delete()


def measure() -> None:
    """Measure each folder whose last measure is an hour old. An object store tells its size itself."""
    for name, folder in folders().items():
        if not Measure.objects.filter(name=name, at__gt=now() - EVERY).exists():
            # Noted first, so that no second worker begins meanwhile; what was known stays.
            Measure.objects.update_or_create(
                name=name, defaults={"at": now()}, create_defaults={"at": now(), "value": -1}
            )
            size = size_of(folder)
            Measure.objects.filter(name=name).update(value=size, at=now())


def folders() -> dict[str, Path]:
    place: Path | str = settings.ARTIFACTS
    found = {ENVIRONMENTS: settings.HOME.environments}
    return found | ({ARTIFACTS: place} if isinstance(place, Path) else {})


def size_of(folder: Path) -> int:
    """Bytes on disk below it, each file once however often it is linked. Of a very large one what ten minutes find."""
    seen: set[tuple[int, int]] = set()
    total, deadline = 0, time.monotonic() + _PATIENCE
    for found in _files(folder):
        if found.st_nlink > 1:
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
        total += found.st_blocks * 512
        if time.monotonic() > deadline:
            log.warning("measured=%s only in part: it holds very many files", folder)
            break
    return total


def _files(folder: Path) -> Iterator[os.stat_result]:
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(Path(entry.path))
                    yield found
        except OSError:  # it has gone meanwhile, or is closed to us
            continue
