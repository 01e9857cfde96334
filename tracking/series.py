"""A metric's points for a chart: all of them while they are few, else each bucket's extremes and last."""

from __future__ import annotations

from typing import TypedDict

from django.db import connection

from tracking.models import Run

# A chart is a few hundred pixels wide: more points than this are not seen, only sent.
MOST_POINTS = 2000

# Each bucket of steps keeps its smallest, largest and last point, so that no peak is lost, and its first
# that is not finite, so that a gap is seen. MLflow stores NaN as a mark, infinity as the largest number.
_SQL = """
WITH points AS (
    SELECT step, timestamp, CASE WHEN NOT is_nan AND abs(value) < 1.7976931348623157e308 THEN value END AS value,
           row_number() OVER (ORDER BY step, timestamp, value) - 1 AS place, count(*) OVER () AS total
    FROM metrics WHERE run_uuid = %(run)s AND key = %(key)s
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY bucket ORDER BY value, place) AS up,
           row_number() OVER (PARTITION BY bucket ORDER BY value DESC NULLS LAST, place) AS down,
           row_number() OVER (PARTITION BY bucket ORDER BY place DESC) AS back,
           row_number() OVER (PARTITION BY bucket ORDER BY value IS NULL DESC, place) AS gap,
           count(*) FILTER (WHERE value IS NULL) OVER () AS not_finite
    FROM (SELECT *, CASE WHEN total <= %(most)s THEN place ELSE place * (%(most)s / 4) / total END AS bucket FROM points) p
)
SELECT step, timestamp, value, total, not_finite FROM ranked
WHERE total <= %(most)s OR up = 1 OR down = 1 OR back = 1 OR (gap = 1 AND value IS NULL) ORDER BY place
"""


class Series(TypedDict):
    """JSON carries neither NaN nor Infinity: such a value is null, and counted."""

    key: str
    steps: list[int]
    times: list[int]  # milliseconds since the epoch
    values: list[float | None]
    total: int  # points logged
    not_finite: int  # of those logged


def series(run: Run, key: str) -> Series:
    """The points of one metric, by step, at most MOST_POINTS of them."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL, {"run": run.pk, "key": key, "most": MOST_POINTS})
        rows = cursor.fetchall()
    return Series(
        key=key,
        steps=[step for step, *_ in rows],
        times=[timestamp for _, timestamp, *_ in rows],
        values=[value for _, _, value, *_ in rows],
        total=rows[0][3] if rows else 0,
        not_finite=rows[0][4] if rows else 0,
    )
