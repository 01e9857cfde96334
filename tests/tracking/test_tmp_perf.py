from __future__ import annotations
import time
from django.db import connection
from tracking.models import Run
from tracking.series import _SQL
from tests.support import rows

OLD = """
WITH points AS (
    SELECT step, timestamp, CASE WHEN is_nan THEN 'NaN'::float8 ELSE value END AS value,
           row_number() OVER (ORDER BY step, timestamp, value) - 1 AS place, count(*) OVER () AS total
    FROM metrics WHERE run_uuid = %(run)s AND key = %(key)s
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY bucket ORDER BY value, place) AS up,
           row_number() OVER (PARTITION BY bucket ORDER BY value DESC, place) AS down,
           row_number() OVER (PARTITION BY bucket ORDER BY place DESC) AS back
    FROM (SELECT *, CASE WHEN total <= %(most)s THEN place ELSE place * (%(most)s / 3) / total END AS bucket FROM points) p
)
SELECT step, timestamp, value, total FROM ranked WHERE total <= %(most)s OR up = 1 OR down = 1 OR back = 1 ORDER BY place
"""
NEW = """
WITH points AS MATERIALIZED (
    SELECT step, timestamp, CASE WHEN NOT is_nan AND abs(value) < 1.7976931348623157e308 THEN value END AS value,
           row_number() OVER (ORDER BY step, timestamp, metrics.value) - 1 AS place
    FROM metrics WHERE run_uuid = %(run)s AND key = %(key)s
), counted AS (
    SELECT count(*) AS total, count(*) - count(value) AS not_finite FROM points
), kept AS (
    SELECT unnest(ARRAY[
        (min(ARRAY[value, place]) FILTER (WHERE value IS NOT NULL))[2],
        (max(ARRAY[value, -place]) FILTER (WHERE value IS NOT NULL))[2] * -1,
        max(place), min(place) FILTER (WHERE value IS NULL)]) AS place
    FROM points, counted GROUP BY CASE WHEN total <= %(most)s THEN place ELSE place * (%(most)s / 4) / total END
)
SELECT step, timestamp, value, total, not_finite FROM points, counted
WHERE total <= %(most)s OR place IN (SELECT place FROM kept) ORDER BY place
"""


def test_it(db):
    run = rows.make_run(rows.make_experiment())
    with connection.cursor() as c:
        c.execute(
            "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan) SELECT %s, 'loss', step, step, sin(step), false FROM generate_series(0, 999999) step",
            [run.pk],
        )
        c.execute("ANALYZE metrics")
        out = []
        for sql in (OLD, _SQL, NEW, NEW):
            t = time.time()
            c.execute(sql, {"run": run.pk, "key": "loss", "most": 2000})
            r = c.fetchall()
            out.append((round(time.time() - t, 2), len(r)))
        print(out)
        c.execute("EXPLAIN ANALYZE " + NEW, {"run": run.pk, "key": "loss", "most": 2000})
        print("\n".join(x[0] for x in c.fetchall()))
        assert 0
