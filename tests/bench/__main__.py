"""`make bench`: measures each row on a running Studio of its own, and ends with 1 when a mark is not held.

`python -m tests.bench NAME...` measures only what is named: a module's rows (`writing`), or one of them
(`writing/log-metric-8`). What was measured whole is written into docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import django

from tests.support.live import Studio, studio

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
django.setup()

from tests.bench import (  # noqa: E402 - needs Django
    charts,
    deploys,
    growth,
    importing,
    launching,
    memory,
    outage,
    permissions,
    reading,
    reads,
    report,
    writes,
    writing,
)

# One module a row, or a few that belong together; in this order, since some need a Studio that did little before.
SECTIONS: dict[str, Callable[[Studio], Iterable[report.Measured]]] = {
    "launching": launching.measure,
    "permissions": permissions.measure,
    "deploys": deploys.measure,
    "outage": outage.measure,
    "importing": importing.measure,
    "writing": writing.measure,
    "memory": memory.measure,
    "reading": reading.measure,
    "growth": growth.measure,
    "charts": charts.measure,
}
ROWS: dict[str, Callable[[Studio], Iterable[report.Measured]]] = {
    **{f"writing/{row.name}": partial(writing.measure, rows=[row]) for row in writes.ROWS},
    **{f"reading/{row.name}": partial(reading.measure, rows=[row]) for row in reads.ROWS},
}


def main(names: Sequence[str]) -> int:
    every = SECTIONS | ROWS
    if unknown := set(names) - set(every):
        _say(f"There is no {', '.join(sorted(unknown))}. There are: {', '.join(every)}")
        return 2
    report.must_have_places(SECTIONS)
    load = os.getloadavg()[0]
    with studio(seconds=120) as running:
        of = report.machine(json.loads(running.manage("status", "--json"))["database_url"], load)
        _say(f"{of}\n")
        held = [_measured(name, every[name], running, of) for name in names or SECTIONS]
    return 0 if all(held) else 1


def _measured(
    name: str, measure: Callable[[Studio], Iterable[report.Measured]], running: Studio, of: str
) -> bool:
    """Measure, tell, write down. Whether all marks are held."""
    results = []
    for result in measure(running):
        _say(report.lines(result))
        results.append(result)
    if name in SECTIONS:
        report.write(name, results, of)
    return all(result.holds for result in results)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
