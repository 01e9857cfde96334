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
WITH points AS MATERIALIZED (
    SELECT step, timestamp, CASE WHEN NOT is_nan AND abs(value) < 1.7976931348623157e308 THEN value END AS value,
           row_number() OVER (ORDER BY step, timestamp, metrics.value) - 1 AS place
    FROM metrics WHERE run_uuid = %(run)s AND key = %(key)s
), counted AS (
    SELECT count(*) AS total, count(*) - count(value) AS not_finite FROM points
), kept AS (
    SELECT unnest(ARRAY[(min(ARRAY[value, place]) FILTER (WHERE value IS NOT NULL))[2],
                        (max(ARRAY[value, -place]) FILTER (WHERE value IS NOT NULL))[2] * -1,
                        max(place), min(place) FILTER (WHERE value IS NULL)]) AS place
    FROM points, counted GROUP BY place * (%(most)s / 4) / total
)
SELECT step, timestamp, value, total, not_finite FROM points, counted
WHERE total <= %(most)s OR place IN (SELECT place FROM kept) ORDER BY place
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
