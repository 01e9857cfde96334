"""Environments built for tests by the real uv, from a package index of their own."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from django.conf import settings
from pytest import MonkeyPatch

from endpoints import environments, interpreters
from endpoints.requirements import Requirements
from tests.support.index import Index, index

_, PYTHON = interpreters.own()
_numbers = itertools.count(1)


class Builder:
    """A deployment that needs an environment: its key, its model's folder, and the log it reads."""

    def __init__(self, model: Path, *lines: str, constraints: tuple[str, ...] = ()) -> None:
        self.wanted = Requirements(lines, "", constraints)
        self.key = f"test{next(_numbers)}"
        self.model = model
        self.log: list[str] = []
        self.lost = Event()

    def build(self, flavors: Sequence[str] = ()) -> Path:
        say = self.log.append
        return environments.build(
            self.wanted, PYTHON, self.key, self.model, say, self.lost, flavors
        )

    def told(self) -> str:
        return "\n".join(self.log)

    def left(self) -> set[str]:
        """What there is of it among the environments, the lock aside."""
        found = settings.HOME.environments.glob(f"{self.key}*")
        return {path.name for path in found} - {f"{self.key}.lock"}


def run(environment: Path, code: str) -> str:
    command = [str(environment / "bin" / "python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def installed(environment: Path) -> dict[str, str]:
    code = "import json; from importlib.metadata import distributions as all_; "
    code += "print(json.dumps({d.name: d.version for d in all_()}))"
    return dict(json.loads(run(environment, code)))


@contextmanager
def own_index(cache: Path, patch: MonkeyPatch) -> Iterator[Index]:
    """An index of our own in the place of PyPI, and a cache of uv's that knows nothing."""
    with index("tiny-1.0", "tiny-2.0") as served:
        patch.setenv("UV_DEFAULT_INDEX", served.url())
        patch.setenv("UV_CACHE_DIR", str(cache))
        patch.setenv("UV_HTTP_RETRIES", "0")
        yield served
