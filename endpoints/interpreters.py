"""The Python interpreters of this machine, by full path: `uv` trips over pyenv's shims when it looks by itself."""

from __future__ import annotations

import glob
import shutil
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


def own() -> tuple[str, Path]:
    """The minor version and the path of the interpreter that runs Studio, outside any virtual environment."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    return minor, Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


@cache
def find(minor: str) -> Path | None:
    """An interpreter of this minor version that really runs. None: the machine has none."""
    own_minor, own_path = own()
    if minor == own_minor:
        return own_path
    places = [place.replace("{}", minor) for place in _PLACES]
    candidates = [
        path
        for place in places
        for path in sorted(glob.glob(str(Path(place).expanduser())), reverse=True)  # noqa: PTH207 - absolute patterns
    ]
    on_path = shutil.which(f"python{minor}")
    return next(
        (
            Path(path)
            for path in [*candidates, *([on_path] if on_path else [])]
            if _runs(path, minor)
        ),
        None,
    )


def _runs(path: str, minor: str) -> bool:
    code = "import sys, venv; print(f'{sys.version_info[0]}.{sys.version_info[1]}')"
    try:
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == minor
