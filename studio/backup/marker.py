"""The file that says that a restore into a home has begun, while it has not come to its end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Marker:
    """`backup` is the identity of what is restored. `database`: that part is done."""

    backup: str
    source: str
    database: bool = False

    def write(self, path: Path) -> None:
        half = path.with_suffix(".half")
        with half.open("w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)


def read(path: Path) -> Marker | None:
    """None: no restore has begun, or not further than to say so."""
    try:
        return Marker(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
