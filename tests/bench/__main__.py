"""`make bench`: measures each row on a running Studio of its own, and ends with 1 when a mark is not held."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

import django

from tests.support.live import Studio, studio

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
django.setup()

from tests.bench import deploys, importing, launching, outage, permissions  # noqa: E402 - needs Django
from tests.bench.timing import Result  # noqa: E402

# One module a row, or a few that belong together.
ROWS: list[Callable[[Studio], list[Result]]] = [
    launching.measure,
    permissions.measure,
    deploys.measure,
    outage.measure,
    importing.measure,
]


def main() -> int:
    _say(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    kept = "set" if os.environ.get("PYTHONDONTWRITEBYTECODE") else "not set"
    _say(f"PYTHONDONTWRITEBYTECODE {kept}; never set for Studio's own processes\n")
    with studio() as running:
        results = [result for measure in ROWS for result in measure(running)]
    for result in results:
        _say(_lines(result))
    return 0 if all(result.holds for result in results) else 1


def _lines(result: Result) -> str:
    figure = f"{result.figure:.2f} {result.unit}"
    mark = f"{result.rule} {result.mark:g} {result.unit}"
    verdict = "held" if result.holds else "MISSED"
    sides = " | ".join(f"{name}: {measured}" for name, measured in result.sides.items())
    return f"{result.name:<60}  {figure:>10}  {mark:<18}  {verdict}\n    {sides}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
