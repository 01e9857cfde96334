"""What processes hold."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_of(pid: int) -> int:
    """What a process holds, in bytes: PSS, pages that others hold as well divided among them.

    Where the kernel keeps that from us (another user's process, in a container without CAP_SYS_PTRACE) it is
    RSS, in which they count in full. A process that is gone holds nothing.
    """
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
            pss = next(line for line in file if line.startswith(b"Pss:"))
        return int(pss.split()[1]) * 1024
    except PermissionError:
        return _resident(pid)
    except (OSError, StopIteration):  # also a zombie
        return 0


def descendants(pid: int) -> list[int]:
    """Whom a process has started, and those whom they have, as the kernel lists them."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, thread.read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return found + [below for child in found for below in descendants(child)]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0
