"""Keeps the environments of models, and uv's cache of packages, below the size that the operator allows.

What counts is what deleting would free: blocks on disk, each file once however many environments link it,
and not at all while something outside, uv's cache as a rule, holds it too. The cache is counted by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import psutil
from django.conf import settings
from uv import find_uv_bin

from endpoints.models import Deployment

log = logging.getLogger(__name__)

_UV = find_uv_bin()
_JUST_USED = (
    600.0  # seconds: a build that found it has not told its row yet, or a process has just ended
)
_LOOK_AGAIN = 3600.0  # seconds between looks at sizes when no environment has come
_PRUNE_PATIENCE = 300.0  # seconds
_BLOCK = 512  # bytes: what st_blocks counts in

Inode = tuple[int, int]


def tidy(limit: int | None = None, *, at_once: bool = False) -> list[str]:
    """Remove the environments that were used longest ago until all are below `limit` bytes; return their keys.

    Never one in use. Safe at any time and twice at once. It looks at sizes when an environment has come
    since the last look, or an hour has passed, unless `at_once`.
    """
    root = Path(settings.HOME.environments)
    if not root.is_dir():
        return []
    limit = settings.ENVIRONMENTS_BYTES if limit is None else limit
    with _alone(root / ".tidied") as (mine, stamp):
        if not mine:
            return []
        _note_use(root)
        there = {path.name for path in _environments(root)}
        if not (at_once or _is_due(stamp, there)):
            return []
        _sweep(root)
        _prune(limit)  # what it drops, environments may hold alone then
        evicted = _evict(root, limit)
        stamp.seek(0)
        stamp.truncate()
        json.dump(sorted(there.difference(evicted)), stamp)
        return evicted


def in_use() -> set[str]:
    """The keys of deployments, whatever their state: a stopped or failed one may be started again."""
    return set(Deployment.objects.exclude(environment="").values_list("environment", flat=True))


def size_of(folders: Iterable[Path]) -> int:
    """What deleting all of these would free, in bytes."""
    return _Sizes(folders).total()


class _Sizes:
    """The files of some folders. One with several links counts while these folders hold all of them."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._alone = 0  # bytes of files with one link
        self._linked: dict[Inode, tuple[int, int, int]] = {}  # bytes, all links, links held here
        for folder in folders:
            for found in _files(folder):
                self._count(found)

    def total(self) -> int:
        return self._alone + sum(
            size for size, links, held in self._linked.values() if links == held > 0
        )

    def remove(self, files: Iterable[os.stat_result]) -> None:
        """As if these had been deleted."""
        for found in files:
            size = found.st_blocks * _BLOCK
            if found.st_nlink == 1:
                self._alone -= size
            else:
                inode = (found.st_dev, found.st_ino)
                size, links, held = self._linked.get(inode, (size, found.st_nlink, 1))
                self._linked[inode] = (size, links - 1, held - 1)

    def _count(self, found: os.stat_result) -> None:
        size = found.st_blocks * _BLOCK
        if found.st_nlink == 1:
            self._alone += size
        else:
            inode = (found.st_dev, found.st_ino)
            _, _, held = self._linked.get(inode, (0, 0, 0))
            self._linked[inode] = (size, found.st_nlink, held + 1)


def _files(folder: Path) -> Iterator[os.stat_result]:
    """What lies below a folder, folders aside. It may change meanwhile."""
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        yield entry.stat(follow_symlinks=False)


def _note_use(root: Path) -> None:
    """The time of a folder is when it was last seen in use."""
    for key in in_use():
        with contextlib.suppress(OSError):
            os.utime(root / key)


def _environments(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and "." not in path.name]


def _is_due(stamp: TextIO, there: set[str]) -> bool:
    """Whether the last look was long ago, or never, or has not seen all that is there now.

    By what it wrote down, not by times of files: the kernel's run up to 10 ms behind the clock.
    """
    passed = time.time() - os.fstat(stamp.fileno()).st_mtime
    stamp.seek(0)
    seen = stamp.read()
    return not seen or not -1 < passed < _LOOK_AGAIN or not there <= set(json.loads(seen))


def _evict(root: Path, limit: int) -> list[str]:
    environments = _environments(root)
    sizes = _Sizes(environments)
    total, evicted, used = sizes.total(), list[str](), in_use()
    for path in sorted(environments, key=_used_at):
        if total <= limit:
            return evicted
        files = [] if path.name in used else list(_files(path))
        if path.name in used or not _remove(path):
            continue
        before = total
        sizes.remove(files)
        total = sizes.total()
        evicted.append(path.name)
        log.info("evicted environment=%s freed_mb=%d", path.name, (before - total) // 1_000_000)
    if total > limit:
        log.warning(
            "environments hold %d MB, more than the %d MB of STUDIO_ENVIRONMENTS_GB, and all are in use",
            total // 1_000_000,
            limit // 1_000_000,
        )
    return evicted


def _used_at(path: Path) -> float:
    """When it was last seen in use. 0: it has gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> bool:
    """Delete an environment unless somebody uses it. First its name is taken, under the lock of its builds."""
    with _locked(path) as mine:
        if not mine or not path.exists():
            return False
        if time.time() - _used_at(path) < _JUST_USED or path.name in in_use() or _runs(path):
            return False
        leaving = path.with_name(f"{path.name}.{secrets.token_hex(4)}.old")
        path.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)
    return True


def _sweep(root: Path) -> None:
    """Delete what a killed worker has left: half built, or half deleted."""
    for left in [*root.glob("*.new"), *root.glob("*.old")]:
        with _locked(root / left.name.split(".")[0]) as mine:
            if mine:
                shutil.rmtree(left, ignore_errors=True)


def _runs(path: Path) -> bool:
    """Whether a process of this machine runs in it: by its command, or by the libraries that it has loaded."""
    prefix = f"{path}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(prefix in word for word in process.cmdline()):
                return True
            if prefix in Path(f"/proc/{process.pid}/maps").read_text(errors="replace"):
                return True
    return False


def _prune(limit: int) -> None:
    """Let uv drop of its cache what nothing refers to, and then what it can download again. Only of Studio's own."""
    cache = Path(settings.HOME.uv_cache)
    if not cache.is_dir() or os.environ.get("UV_CACHE_DIR"):
        return
    for more in ([], ["--ci"]):
        held = _held(cache)
        if held <= limit:
            return
        command = [_UV, "cache", "prune", *more, "--cache-dir", str(cache)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_PRUNE_PATIENCE)
        except (OSError, subprocess.SubprocessError) as failure:
            log.warning("uv's cache could not be pruned: %s", failure)
            return
        freed = held - _held(cache)
        log.info("pruned uv's cache held_mb=%d freed_mb=%d", held // 1_000_000, freed // 1_000_000)


def _held(folder: Path) -> int:
    """The bytes of all files below a folder, each once."""
    sizes = {(found.st_dev, found.st_ino): found.st_blocks for found in _files(folder)}
    return sum(sizes.values()) * _BLOCK


@contextmanager
def _alone(path: Path) -> Iterator[tuple[bool, TextIO]]:
    """Whether nobody else tidies, and the file in which the last one wrote what was there."""
    with path.open("a+") as file:
        yield _flock(file.fileno()), file


@contextmanager
def _locked(place: Path) -> Iterator[bool]:
    """Hold the lock that a build of this environment holds. False: one is at work."""
    with place.with_suffix(".lock").open("w") as file:
        yield _flock(file.fileno())


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
