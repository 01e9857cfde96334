"""How results are told: on the terminal, and in docs/benchmarks.md, a section for each module of the bench."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import psycopg

from tests.bench.comparing import Comparison
from tests.bench.sides import STUDIO
from tests.bench.timing import Result
from tests.support.live import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
Measured = Result | Comparison


def machine(database: str, load: float) -> str:
    """What the figures depend on. `load`: the load average before the bench began."""
    with psycopg.connect(database) as connection:
        version = connection.info.server_version // 10_000
    kept = "set" if os.environ.get("PYTHONDONTWRITEBYTECODE") else "not set"
    return (
        f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}, "
        f"PostgreSQL {version}, PYTHONDONTWRITEBYTECODE {kept} (never for Studio's processes and the peers'), "
        f"load average {load:.1f} before the bench"
    )


def lines(measured: Measured) -> str:
    """For the terminal."""
    if isinstance(measured, Comparison):
        told = [f"    {side}: {measured.told(side)}" for side in measured.others]
        rate = f"{measured.rates[STUDIO]:,.0f} {measured.unit}"
        return "\n".join([f"{measured.name:<60}  {STUDIO}: {rate}", *told])
    figure, mark = _figures(measured)
    verdict = "held" if measured.holds else "MISSED"
    sides = " | ".join(f"{name}: {told}" for name, told in measured.sides.items())
    return f"{measured.name:<60}  {figure:>10}  {mark:<18}  {verdict}\n    {sides}"


def must_have_places(sections: Iterable[str], page: Path = PAGE) -> None:
    """Raises ValueError where the page has no place for one of these: to be known before hours of measuring."""
    text = page.read_text()
    for section in sections:
        if not all(text.count(mark) == 1 for mark in _marks(section)):
            raise ValueError(f"{page.name} must have one {' and one '.join(_marks(section))}")


def write(section: str, results: Sequence[Measured], of: str, page: Path = PAGE) -> None:
    """Put a section's table into the page, in the place of the one that was there. `of`: the machine."""
    begin, end = _marks(section)
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{_table(results)}\n\n{of}.\n\n{end}{after}")


def _marks(section: str) -> tuple[str, str]:
    return f"<!-- {section} -->", f"<!-- end of {section} -->"


def _table(results: Sequence[Measured]) -> str:
    compared = [one for one in results if isinstance(one, Comparison)]
    if compared:
        others = list(dict.fromkeys(side for one in compared for side in one.others))
        head = ["same work over REST", STUDIO, *others]
        cells = [
            [
                f"{one.name}, {one.unit}",
                f"{one.rates[STUDIO]:,.0f}",
                *(one.told(side) if side in one.rates else "" for side in others),
            ]
            for one in compared
        ]
    else:
        head = ["", "figure", "mark", "each side"]
        cells = [_cells(one) for one in results if isinstance(one, Result)]
    rows = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(result: Result) -> list[str]:
    sides = "; ".join(f"{name}: {told}" for name, told in result.sides.items())
    figure, mark = _figures(result)
    return [result.name, figure, mark if result.holds else f"{mark}: MISSED", sides]


def _figures(result: Result) -> tuple[str, str]:
    return (
        f"{result.figure:.2f} {result.unit}",
        f"{result.rule} {result.mark:g} {result.unit}",
    )
