"""The Python interpreters of this machine, by full path: `uv` trips over pyenv's shims when it looks by itself."""

from __future__ import annotations

import glob
import os
import shutil
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path

# Where interpreters are found, beside the one that runs Studio. {} is the minor version, "3.11".
_PLACES = (
    "/usr/bin/python{}",
    "/usr/local/bin/python{}",
    "/opt/homebrew/bin/python{}",
    "~/.pyenv/versions/{}.*/bin/python{}",
    "~/.local/share/uv/python/cpython-{}.*/bin/python{}",
)
_NEWEST = 30  # the last minor version that is looked for


def own() -> tuple[str, Path]:
    """The minor version and the path of the interpreter that runs Studio, outside any virtual environment."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    return minor, Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


@cache
def find(minor: str) -> Path | None:
    """An interpreter of this minor version that really runs. None: the machine has none.

    Studio's own goes before others. As root, those go before it that other accounts reach too, since models
    run under accounts of their own.
    """
    candidates = _candidates(minor)
    if os.geteuid() == 0:
        candidates.sort(key=lambda path: not open_to_others(path))
    own_path = own()[1]
    return next((path for path in candidates if path == own_path or _runs(path, minor)), None)


def minors() -> list[str]:
    """Every minor version of Python 3 that this machine has, the oldest first."""
    return [minor for minor in (f"3.{number}" for number in range(_NEWEST)) if find(minor)]


def open_to_others(path: Path) -> bool:
    """Whether any account may run it: the file itself, through every folder above."""
    real = path.resolve()
    try:
        return all(place.stat().st_mode & stat.S_IXOTH for place in (real, *real.parents))
    except OSError:  # a link that leads nowhere
        return False


def _candidates(minor: str) -> list[Path]:
    own_minor, own_path = own()
    places = [place.replace("{}", minor) for place in _PLACES]
    found = [
        path
        for place in places
        for path in sorted(glob.glob(str(Path(place).expanduser())), reverse=True)  # noqa: PTH207 - absolute patterns
    ]
    on_path = shutil.which(f"python{minor}")
    return [
        *([own_path] if minor == own_minor else []),
        *map(Path, [*found, *([on_path] if on_path else [])]),
    ]


def _runs(path: Path, minor: str) -> bool:
    code = "import sys; print(f'{sys.version_info[0]}.{sys.version_info[1]}')"
    try:
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == minor
