"""What tests have counted, added up over all workers of a run and told in its summary."""

from __future__ import annotations

from collections import Counter
from typing import Any


def totals(stats: dict[str, list[Any]]) -> Counter[str]:
    """The sums of what `record_property` was given numbers of, from the reports that a terminal has kept."""
    found: Counter[str] = Counter()
    for report in (report for reports in stats.values() for report in reports):
        if getattr(report, "when", "") == "teardown":  # the last, which has them all
            found.update({name: n for name, n in report.user_properties if isinstance(n, int)})
    return found
