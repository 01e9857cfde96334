"""How the bench tells what it has measured, and when a mark is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.comparing import Comparison, Mark
from tests.bench.sides import FASTTRACKML, MLFLOW, STUDIO

MARKS = {MLFLOW: Mark("at least", 10), FASTTRACKML: Mark("more than", 1)}


def row(mlflow: float, fasttrackml: float) -> Comparison:
    rates = {STUDIO: 100.0, MLFLOW: mlflow, FASTTRACKML: fasttrackml}
    return Comparison("search", "calls/s", rates, MARKS)


@pytest.mark.parametrize(
    ("mlflow", "fasttrackml", "holds"),
    [(10, 99, True), (10.1, 50, False), (1, 100, False), (1, 101, False)],
)
def test_all_marks_of_a_row_are_to_be_held(mlflow: float, fasttrackml: float, holds: bool) -> None:
    assert row(mlflow, fasttrackml).holds == holds


def test_a_section_is_put_in_the_place_of_the_one_that_was_there(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- reading -->\nold\n<!-- end of reading -->\nafter\n")
    alone = Comparison("history", "points/s", {STUDIO: 7.0}, {})
    report.write("reading", [alone, row(5, 200)], "a machine", page)
    told = page.read_text()
    assert told.startswith("before\n<!-- reading -->\n")
    assert told.endswith("a machine.\n\n<!-- end of reading -->\nafter\n")
    assert "old" not in told
    assert (
        "| 5 (Studio 20.00×, at least 10×: held) | 200 (Studio 0.50×, more than 1×: MISSED) |"
        in told
    )
    assert "| history, points/s | 7 |  |  |" in told


def test_a_row_that_not_all_sides_know_leaves_their_places_empty(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- reading -->\n<!-- end of reading -->\n")
    one = Comparison("models", "calls/s", {STUDIO: 100.0, MLFLOW: 5.0}, {MLFLOW: MARKS[MLFLOW]})
    report.write("reading", [one, row(10, 50)], "a machine", page)
    told = page.read_text()
    assert f"| same work over REST | {STUDIO} | {MLFLOW} | {FASTTRACKML} |" in told
    assert "| models, calls/s | 100 | 5 (Studio 20.00×, at least 10×: held) |  |" in told


def test_a_page_without_a_place_for_a_section_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- reading -->\n")
    with pytest.raises(ValueError, match="must have one <!-- reading --> and one <!-- end of"):
        report.must_have_places(["reading"], page)
