"""What web's workers hold after an hour's worth of calls."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from tests.bench.load import Conversation, drive
from tests.bench.sides import Side
from tests.bench.timing import Result
from tests.bench.writes import NUMBERS, Written, log_metric, whole_run
from tests.bench.writing import studio_side
from tests.support.live import Studio

CALLS = 360_000  # 100 a second, for an hour
_CONNECTIONS = 8
_WARM = 20.0  # seconds: what is imported and pooled for the first calls stays
_AT_ONCE = 15.0  # seconds between two looks
_LONGEST = 1200.0  # seconds: as many calls as there are by then
_LARGEST, _GROWTH, _AIM = 400, 20, 300  # MB


def measure(studio: Studio) -> list[Result]:
    """Five of six calls log a metric, and one is of a whole run, with the runs that this makes."""
    side = studio_side(studio)
    cold = _resident(studio)
    _drive(side, _WARM)
    before = _resident(studio)
    calls, seconds = 0, 0.0
    while calls < CALLS and seconds < _LONGEST:
        done, took = _drive(side, _AT_ONCE)
        calls, seconds = calls + done, seconds + took
    after = _resident(studio)
    name = f"web's workers over {calls:,} calls, resident"
    each = " and ".join(f"{size:.0f} MB" for size in after)
    sides = {
        "before any": f"{sum(cold):.0f} MB in all",
        "after the first": f"{sum(before):.0f} MB in all",
        "at the end": f"{sum(after):.0f} MB in all: {each}",
        "calls": f"{calls / seconds:,.0f} a second",
    }
    grown = sum(after) - sum(before)
    return [
        Result(f"{name}: grown by, all workers", sides, grown, "MB", "at most", _GROWTH),
        Result(
            f"{name}: the largest", {"aim": f"{_AIM} MB"}, max(after), "MB", "at most", _LARGEST
        ),
        Result(f"{name}: calls", {}, calls, "calls", "at least", CALLS),
    ]


def _drive(side: Side, seconds: float) -> tuple[int, float]:
    """How many calls were made, in how many seconds."""
    beginnings = [_mixed(side) for _ in range(_CONNECTIONS)]
    tally = drive(side.address, beginnings, seconds)
    return tally.done * (_METRICS + 3), tally.seconds


_METRICS = 15  # calls for one metric beside the three of a whole run


def _mixed(side: Side) -> Callable[[], Conversation]:
    written = Written()
    metric = log_metric()(side, written, NUMBERS)
    run = whole_run(side, written, NUMBERS)

    def talk() -> Conversation:
        for _ in range(_METRICS):
            yield from metric()
        yield from run()

    return talk


def _resident(studio: Studio) -> list[float]:
    """MB of each worker."""
    web = psutil.Process(studio.pid("web"))
    return [worker.memory_info().rss / 1e6 for worker in web.children()]
