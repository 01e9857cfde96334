"""Summaries of a run's metrics, from all its points, whoever wrote them. They are never wrong: where they lag behind, the run is marked.

A reader asks first whether a StaleRun names the run: if so it counts the points, else it takes the summary. Both in
one statement, which sees one moment.

Whoever inserts points, Studio or an MLflow server that knows nothing of it, makes PostgreSQL do this (migration 0004):
it locks the run's slot, shared, until its commit; then it looks for a mark that is not taken, and writes one if there
is none. Writers never wait for one another: a run may get several marks.

To sum up takes two transactions, since a million points take a second and no writer may wait that long:

1. Lock the slot, exclusively, and take the run's marks. Now no writer is between its insert and its commit. So all
   points whose writer relied on one of these marks are there for everyone who looks from now on; whoever writes later
   finds no mark but taken ones, and makes another.
2. Lock the marks that are taken, then, with a new look, sum up the points, and delete these marks and no others. What
   was written since the first transaction is in the sums or not, and has a mark of its own.

A second summariser waits at the first one's marks and finds them gone, or finds later ones and looks later. One that
is killed leaves its marks taken; the next one goes on. All locks end with their transaction. None is waited for longer
than PATIENCE, since writers queue behind who waits: then the run keeps its marks until the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Any

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

PATIENCE = "50ms"
# Of each round, after which no further run is begun: a tenth of a core's time, since who logs meanwhile needs the rest.
SECONDS = 1.0
MOST = 2_000  # runs at once
# The age of a mark at which its run is summed up. One that goes on logging is counted again and again: the more points
# it has, the less often, so that this takes a few thousandths of the time.
REST, REST_OF_A_POINT = timedelta(seconds=60), timedelta(microseconds=200)
_DUE = """
SELECT hashtext(s.run_id) & 63 AS slot, s.run_id
FROM (SELECT run_id, min(since) AS since FROM tracking_stalerun GROUP BY run_id ORDER BY min(since) LIMIT %(most)s) s
WHERE s.since <= now() - %(rest)s - %(rest_of_a_point)s * (
    SELECT coalesce(sum(m.count), 0)::float8 FROM tracking_metricsummary m WHERE m.run_id = s.run_id)
ORDER BY s.since
"""
_BEGIN = f"""
SET LOCAL transaction_isolation = 'read committed';
SET LOCAL lock_timeout = '{PATIENCE}';
SET LOCAL synchronous_commit = off
"""
_SLOTS = 1937012077  # as in the trigger
_TAKE = "UPDATE tracking_stalerun SET taken = true WHERE run_id = ANY(%s) AND NOT taken"
_TAKEN = "SELECT id FROM tracking_stalerun WHERE run_id = %s AND taken FOR UPDATE"
_SUM_UP = """
WITH total AS (
    SELECT key, count(*) AS count, min(step) AS first_step, min(value) FILTER (WHERE NOT is_nan) AS minimum,
           max(value) FILTER (WHERE NOT is_nan) AS maximum
    FROM metrics WHERE run_uuid = %(run)s GROUP BY key
), place AS (
    SELECT key, min(p.step) FILTER (WHERE p.value = t.minimum) AS minimum_step,
           min(p.step) FILTER (WHERE p.value = t.maximum) AS maximum_step
    FROM metrics p JOIN total t USING (key) WHERE p.run_uuid = %(run)s AND NOT p.is_nan GROUP BY key
), first AS (
    SELECT DISTINCT ON (key) key, p.value AS first, p.is_nan AS first_is_nan
    FROM metrics p JOIN total t USING (key) WHERE p.run_uuid = %(run)s AND p.step = t.first_step
    ORDER BY key, p.timestamp, p.value, p.is_nan DESC
)
INSERT INTO tracking_metricsummary AS s (run_id, key, count, minimum, minimum_step, maximum, maximum_step,
                                         first, first_step, first_is_nan)
SELECT %(run)s, key, count, minimum, minimum_step, maximum, maximum_step, first, first_step, first_is_nan
FROM total JOIN first USING (key) LEFT JOIN place USING (key)
ON CONFLICT (run_id, key) DO UPDATE
SET count = excluded.count, minimum = excluded.minimum, minimum_step = excluded.minimum_step,
    maximum = excluded.maximum, maximum_step = excluded.maximum_step, first = excluded.first,
    first_step = excluded.first_step, first_is_nan = excluded.first_is_nan
WHERE (s.count, s.minimum, s.minimum_step, s.maximum, s.maximum_step, s.first, s.first_step, s.first_is_nan)
IS DISTINCT FROM (excluded.count, excluded.minimum, excluded.minimum_step, excluded.maximum, excluded.maximum_step,
                  excluded.first, excluded.first_step, excluded.first_is_nan)
"""


def sum_up() -> None:
    """Sum up runs that have been marked for long enough, for SECONDS or a little longer. Safe from anywhere, twice at once."""
    until = monotonic() + SECONDS
    with connection.cursor() as cursor:
        asked: Any = {"rest": REST, "rest_of_a_point": REST_OF_A_POINT, "most": MOST}
        cursor.execute(_DUE, asked)
        due = sorted(cursor.fetchall())
    for slot, found in groupby(due, itemgetter(0)):
        runs = [run_id for _, run_id in found]
        if not _done(_take, slot, runs):
            continue
        for run_id in runs:
            if monotonic() > until:
                return
            _done(_sum_up, run_id)


def _take(slot: int, runs: list[str]) -> None:
    """From now on no writer relies on the marks of these runs, which are in one slot."""
    with _impatient() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_SLOTS, slot])
        cursor.execute(_TAKE, [runs])


def _sum_up(run_id: str) -> None:
    with _impatient() as cursor:
        cursor.execute(_TAKEN, [run_id])
        marks = [mark for (mark,) in cursor.fetchall()]
        if marks:
            cursor.execute(_SUM_UP, {"run": run_id})
            cursor.execute("DELETE FROM tracking_stalerun WHERE id = ANY(%s)", [marks])


def _done(act: Callable[..., None], *given: Any) -> bool:
    """False: a lock was not to be had, and nothing was done."""
    try:
        act(*given)
    except OperationalError as failure:
        if isinstance(failure.__cause__, psycopg.errors.LockNotAvailable):
            return False
        raise
    return True


@contextmanager
def _impatient() -> Iterator[CursorWrapper]:
    """A transaction. One that a crash takes back was for nothing, no worse: the marks come back with it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        yield cursor
