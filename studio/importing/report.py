"""What came over, what did not and why: counted, and written line by line while it happens."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_EXAMPLES = 3


class Report:
    """A file of JSON lines, one for each thing that could not come over or that came otherwise than it was."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.came: Counter[str] = Counter()
        self.here: Counter[str] = Counter()
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.notes: list[str] = []
        self._held: list[tuple[str, str, str, str]] | None = None
        # What is told in it may be told to few.
        self._file: TextIO = open(path, "w", encoding="utf-8", opener=_private)  # noqa: PTH123, SIM115 - the path's own has no opener

    def left(self, kind: str, name: str, reason: str, detail: str = "") -> None:
        """Something could not come over, or not in full."""
        if self._held is not None:
            self._held.append((kind, name, reason, detail))
            return
        key = (kind, reason)
        self.left_out[key] += 1
        if len(self.examples[key]) < _EXAMPLES:
            self.examples[key].append(name)
        self._write("left out", kind, name, reason, detail)

    def note(self, kind: str, name: str, text: str) -> None:
        """Something came otherwise than it was, and nothing of it is lost."""
        self.notes.append(f"{kind} {name}: {text}")
        self._write("note", kind, name, text, "")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What is told in the block counts only if the block ends well: it may be tried again."""
        self._held = []
        try:
            yield
        except BaseException:
            self._held = None
            raise
        held, self._held = self._held, None
        for told in held:
            self.left(*told)

    def close(self) -> None:
        counts = {"came": +self.came, "already here": +self.here, "left out": self.lost}
        self._file.write(json.dumps({"what": "counts", **counts}) + "\n")
        self._file.close()

    @property
    def lost(self) -> int:
        return self.left_out.total()

    def _write(self, what: str, kind: str, name: str, reason: str, detail: str) -> None:
        line = {"what": what, "kind": kind, "name": name, "reason": reason, "detail": detail}
        told = {key: value for key, value in line.items() if value}
        # Escaped: a name may be no text that a file can hold.
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()


def _private(path: str, flags: int) -> int:
    handle = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        os.fchmod(handle, 0o600)  # one that was there
    return handle
