"""What the points of a chart stand by, as SQL over a row `asked` (run, began, key): each axis gives every point its x."""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

from studio.lib.sql import Sql

# MLflow stores NaN as 0 with a mark, and an infinity as the largest number.
_LARGEST = "1.7976931348623157e308"
_FINITE = f"NOT m.is_nan AND abs(m.value) < {_LARGEST}"
_NUMBER = f"""CASE WHEN {_FINITE} THEN m.value WHEN m.is_nan THEN 'NaN'
    WHEN m.value > 0 THEN 'Infinity' ELSE '-Infinity' END"""
_OWN = "m.run_uuid = asked.run AND m.key = asked.key"
_POINTS = "SELECT {x} AS x, m.timestamp AS time, {number} AS number, CASE WHEN {finite} THEN m.value END AS finite FROM metrics m"
_NOTHING = Sql("")
# At each step the latest value of the metric that the axis shows.
_OTHER = f"""
    JOIN (SELECT DISTINCT ON (m.step) m.step, m.value FROM metrics m
          WHERE m.run_uuid = asked.run AND m.key = %s AND {_FINITE}
          ORDER BY m.step, m.timestamp DESC, m.value DESC) other ON other.step = m.step"""  # noqa: S608 - constants


class Axis(NamedTuple):
    """`points`: a subquery: of each point x, time, number, and finite: NULL where the number is NaN or infinite.

    `ends`: a subquery of one row: the smallest x and the largest.
    """

    points: Sql
    ends: Sql


def by_step(start: float | None, stop: float | None) -> Axis:
    """An index has a metric's points by step: its ends are looked up there."""
    first = None if start is None else ceil(start)
    within = _within("m.step", first, None if stop is None else floor(stop))
    end = f"(SELECT m.step::float8 FROM metrics m WHERE {_OWN}{within.text} ORDER BY m.step {{}} LIMIT 1)"  # noqa: S608
    ends = f"SELECT {end.format('')} AS low, {end.format('DESC')} AS high"
    return Axis(_points("m.step::float8", within), Sql(ends, within.given * 2))


def by_time(start: float | None, stop: float | None) -> Axis:
    """Milliseconds since the epoch."""
    return _by("m.timestamp::float8", start, stop)


def by_relative_time(start: float | None, stop: float | None) -> Axis:
    """Milliseconds since the run began."""
    return _by("(m.timestamp - asked.began)::float8", start, stop)


def by_metric(key: str, start: float | None, stop: float | None) -> Axis:
    """The value that this metric of the run has at the same step. Points at other steps stand nowhere."""
    return _by("other.value", start, stop, Sql(_OTHER, (key,)))


def _by(x: str, start: float | None, stop: float | None, joined: Sql = _NOTHING) -> Axis:
    points = _points(x, _within(x, start, stop), joined)
    ends = Sql(f"SELECT min(p.x) AS low, max(p.x) AS high FROM ({points.text}) p", points.given)  # noqa: S608
    return Axis(points, ends)


def _points(x: str, within: Sql, joined: Sql = _NOTHING) -> Sql:
    columns = _POINTS.format(x=x, number=_NUMBER, finite=_FINITE)
    text = f"{columns}{joined.text} WHERE {_OWN}{within.text}"
    return Sql(text, (*joined.given, *within.given))


def _within(x: str, start: float | None, stop: float | None) -> Sql:
    """Conditions that x lies between these, both included."""
    text = "".join(
        f" AND {x} {sign} %s" for sign, end in ((">=", start), ("<=", stop)) if end is not None
    )
    return Sql(text, tuple(end for end in (start, stop) if end is not None))
