"""Whether a disk has the room, asked before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from studio.backup.failure import BackupFailed
from studio.backup.telling import Say
from studio.lib.text import sized


def require(needs: list[tuple[Path, int]], say: Say) -> None:
    """Raises BackupFailed where the places need more than their disks have. They need not exist yet."""
    by_disk: dict[int, list[tuple[Path, int]]] = {}
    for place, count in needs:
        there = next(path for path in (place, *place.parents) if path.exists())
        by_disk.setdefault(there.stat().st_dev, []).append((there, count))
    for places in by_disk.values():
        place, needed = places[0][0], sum(count for _, count in places)
        free = shutil.disk_usage(place).free
        if needed > free:
            raise BackupFailed(
                f"The disk of {place} has {sized(free)} left, and about {sized(needed)} are needed: make room there."
            )
        say(f"about {sized(needed)} are needed on the disk of {place}, {sized(free)} are free")
