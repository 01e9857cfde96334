"""The write rows: what is sent on each connection, and what must be in the database afterwards."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.bench.load import Conversation
from tests.bench.sides import NUMBER, Side

_NOW = 1_790_000_000_000  # milliseconds
_NUMBER = NUMBER.decode()
_RUN = "r" * 32  # stands for a run's id where it is not known yet
NUMBERS = itertools.count(20_000_000)  # eight digits, for as long as a bench takes


@dataclass(slots=True)
class Written:
    """The runs that were written to."""

    runs: list[str] = field(default_factory=list)


Begin = Callable[[], Conversation]
# Makes the beginning of the conversations of one connection. The numbers go into its requests.
Talk = Callable[[Side, Written, Iterator[int]], Begin]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    connections: int
    unit: str
    each: int  # units that one conversation is
    stores: Mapping[str, int]  # rows that one conversation is, by what is counted
    talk: Talk

    @property
    def makes_runs(self) -> bool:
        """In each conversation one. Else each connection has one, that was there before."""
        return "finished runs" in self.stores


def _repeated(route: str, body: Callable[[str], str]) -> Talk:
    """One request, again and again, to a run of this connection."""

    def begin(side: Side, written: Written, numbers: Iterator[int]) -> Begin:
        run = side.make_run()
        written.runs.append(run)
        request = side.request(route, body(run))

        def talk() -> Conversation:
            yield request.replace(NUMBER, b"%d" % next(numbers))

        return talk

    return begin


def _metric(key: str, place: int = 0) -> str:
    """A point that no request before had: its step and value hold the number."""
    return (
        f'{{"key": "{key}", "value": 0.{_NUMBER}, "timestamp": {_NOW + place},'
        f' "step": {_NUMBER}{place:03}}}'
    )


def log_metric() -> Talk:
    def body(run: str) -> str:
        return f'{{"run_id": "{run}", {_metric("loss")[1:]}'

    return _repeated("runs/log-metric", body)


def log_batch(keys: int) -> Talk:
    """1,000 points of that many keys."""

    def body(run: str) -> str:
        points = ", ".join(_metric(f"metric-{place % keys}", place) for place in range(1000))
        return f'{{"run_id": "{run}", "metrics": [{points}]}}'

    return _repeated("runs/log-batch", body)


def whole_run(side: Side, written: Written, numbers: Iterator[int]) -> Begin:
    create = side.request(
        "runs/create",
        f'{{"experiment_id": "{side.experiment}", "run_name": "run-{_NUMBER}", "start_time": {_NOW}}}',
    )
    batch = side.request("runs/log-batch", _everything())
    end = f'{{"run_id": "{_RUN}", "status": "FINISHED", "end_time": {_NOW + 1000}}}'
    finish = side.request("runs/update", end)

    def talk() -> Conversation:
        number = b"%d" % next(numbers)
        made = yield create.replace(NUMBER, number)
        run: str = json.loads(made)["run"]["info"]["run_id"]
        run_id = run.encode()
        yield batch.replace(NUMBER, number).replace(_RUN.encode(), run_id)
        yield finish.replace(_RUN.encode(), run_id)
        written.runs.append(run)

    return talk


def _everything() -> str:
    params = [{"key": f"param-{place}", "value": f"{place}.5"} for place in range(10)]
    tags = [{"key": f"tag-{place}", "value": "as people write them"} for place in range(5)]
    points = ", ".join(_metric(f"metric-{place}") for place in range(20))
    return (
        f'{{"run_id": "{_RUN}", "params": {json.dumps(params)}, "metrics": [{points}],'
        f' "tags": {json.dumps(tags)}}}'
    )


ROWS = [
    Row("log-metric-8", "log-metric, 8 connections", 8, "calls/s", 1, {"metrics": 1}, log_metric()),
    Row("log-metric-1", "log-metric, 1 connection", 1, "calls/s", 1, {"metrics": 1}, log_metric()),
    Row(
        "log-batch",
        "log-batch of 1,000 points of 10 keys, 4 connections",
        4,
        "points/s",
        1000,
        {"metrics": 1000},
        log_batch(10),
    ),
    Row(
        "log-batch-wide",
        "log-batch of 1,000 points of 1,000 keys, 4 connections",
        4,
        "points/s",
        1000,
        {"metrics": 1000},
        log_batch(1000),
    ),
    Row(
        "whole-run",
        "whole run: create, 10 params, 20 metrics and 5 tags in a batch, finish; 8 connections",
        8,
        "runs/s",
        1,
        {"metrics": 20, "params": 10, "tags": 5, "finished runs": 1},
        whole_run,
    ),
]

_COUNTS = {
    "metrics": "SELECT count(*) FROM metrics WHERE run_uuid = ANY(%(runs)s)",
    "params": "SELECT count(*) FROM params WHERE run_uuid = ANY(%(runs)s)",
    "tags": "SELECT count(*) FROM tags WHERE run_uuid = ANY(%(runs)s) AND key LIKE 'tag-%%'",
    "finished runs": "SELECT count(*) FROM runs WHERE run_uuid = ANY(%(runs)s) AND status = 'FINISHED'",
}
# Keys whose latest value is not that of their last step.
_STALE = """
    SELECT count(*) FROM (
        SELECT run_uuid, key, max(step) AS step FROM metrics WHERE run_uuid = ANY(%(runs)s) GROUP BY 1, 2
    ) last LEFT JOIN latest_metrics l USING (run_uuid, key, step) WHERE l.key IS NULL
"""


def check(side: Side, row: Row, written: Written, done: int) -> None:
    """Raises RuntimeError unless all that was acknowledged is stored, once, and the latest values are the latest."""
    given: dict[str, object] = {"runs": written.runs}
    for what, each in row.stores.items():
        stored = side.value(_COUNTS[what], given)
        if stored != each * done:
            raise RuntimeError(f"{side.name}, {row.title}: {stored} {what} of {each * done}")
    if stale := side.value(_STALE, given):
        raise RuntimeError(f"{side.name}, {row.title}: {stale} latest values are older ones")
