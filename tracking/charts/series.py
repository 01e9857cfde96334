"""Series of many runs and metrics by one statement: all points of a short one, of a long one what each bucket holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson
from django.db import OperationalError, connection, transaction
from psycopg import Cursor
from psycopg.errors import QueryCanceled

from studio.lib.errors import Invalid
from studio.lib.sql import PATIENCE, Sql
from tracking.charts.axes import Axis

# Runs before keys, in the order in which they were asked for. A series with twice as many points as buckets takes as
# many bytes either way, and is sent whole.
_STATEMENT = """
WITH asked AS MATERIALIZED (
    SELECT run, coalesce(began, (SELECT min(timestamp) FROM metrics WHERE run_uuid = run)) AS began, key
    FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS runs (run, began, first)
    CROSS JOIN unnest(%s::text[]) WITH ORDINALITY AS keys (key, second)
    ORDER BY first, second
)
SELECT asked.run, asked.key, told.is_whole, told.total::bigint, told.finite::bigint, told.points
FROM asked
CROSS JOIN LATERAL (SELECT count(*) <= 2 * %s AS is_short FROM (SELECT FROM ({points}) p LIMIT 2 * %s + 1) p) size
CROSS JOIN LATERAL ({ends}) e
CROSS JOIN LATERAL (
    SELECT true AS is_whole, count(*) AS total, count(p.finite) AS finite,
           string_agg(float8send(p.x) || float8send(p.number), '' ORDER BY p.x, p.time, p.number) AS points
    FROM ({points}) p WHERE size.is_short
    UNION ALL
    SELECT false, sum(b.total), sum(b.finite),
           string_agg(float8send(b.x) || float8send(b.low) || float8send(b.high) || float8send(b.last[3]), '' ORDER BY b.x)
    FROM (SELECT max(p.x) AS x, count(*) AS total, count(p.finite) AS finite,
                 coalesce(min(p.finite), 'NaN') AS low, coalesce(max(p.finite), 'NaN') AS high,
                 max(ARRAY[p.x, p.time, p.number]) AS last
          FROM ({points}) p WHERE NOT size.is_short
          GROUP BY least(floor((p.x - e.low) / nullif(e.high - e.low, 0) * %s), %s - 1)) b
) told
WHERE told.is_whole = size.is_short AND told.total > 0
"""
# One more core for a chart would be one less for who logs meanwhile, and to compile its SQL costs more than it brings.
# Of a new run PostgreSQL knows nothing yet: it would take an axis' metric for a row, and look for each point through all.
CALM = f"""SELECT set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('enable_nestloop', 'off', true), set_config('statement_timeout', '{PATIENCE}s', true)"""
_TOO_LONG = (
    f"These charts were given up after {PATIENCE} seconds: show fewer runs, or a shorter range."
)


class Series(NamedTuple):
    """A metric of a run: `points` are pairs of x and y, or of each bucket its last x, the smallest and largest finite y, and
    the last y: each a float of 8 bytes, the highest first, in the order of x.

    `total`: how many points there are in the range, `finite` of these those that are neither NaN nor infinite.
    """

    run: str
    key: str
    is_whole: bool
    total: int
    finite: int
    points: bytes

    @property
    def told(self) -> dict[str, object]:
        count = len(self.points) // (16 if self.is_whole else 32)
        return {
            "run": self.run,
            "key": self.key,
            "whole": self.is_whole,
            "points": count,
            "total": self.total,
            "not_finite": self.total - self.finite,
        }


def read(
    runs: Sequence[tuple[str, int | None]], keys: Sequence[str], axis: Axis, buckets: int
) -> list[Series]:
    """The series that have a point in the axis' range. `runs`: their ids, and when each began, in ms since the epoch.

    Raises Invalid where it takes longer than PATIENCE.
    """
    try:
        return _found(statement(runs, keys, axis, buckets))
    except OperationalError as failure:
        if isinstance(failure.__cause__, QueryCanceled):
            raise Invalid(_TOO_LONG) from None
        raise


def _found(asked: Sql) -> list[Series]:
    with transaction.atomic(), connection.wrap_database_errors:
        connection.ensure_connection()
        with Cursor(connection.connection) as cursor:  # Django's own reads text
            cursor.execute(CALM)
            cursor.execute(asked.text, asked.given, binary=True)
            return [Series(*row) for row in cursor]


def statement(
    runs: Sequence[tuple[str, int | None]], keys: Sequence[str], axis: Axis, buckets: int
) -> Sql:
    """What `read` asks PostgreSQL, after CALM."""
    text = _STATEMENT.format(points=axis.points.text, ends=axis.ends.text)
    points = axis.points.given
    given = (
        *([run for run, _ in runs], [began for _, began in runs], list(keys)),
        *(buckets, *points, buckets),
        *axis.ends.given,
        *points,
        *points,
        *(buckets, buckets),
    )
    return Sql(text, given)


def packed(found: Sequence[Series]) -> Iterator[bytes]:
    """The answer: the length of a JSON header in 4 bytes, the header, and after it, at a multiple of 8, the points of each series."""
    header = orjson.dumps({"series": [each.told for each in found]})
    header += b" " * (-(len(header) + 4) % 8)
    yield len(header).to_bytes(4, "big")
    yield header
    for each in found:
        yield each.points
