"""metrics/get-history, get-history-bulk and get-history-bulk-interval: the points of a key."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from studio.accounts.permissions import Level
from studio.lane import told, wires
from studio.lane.asked import (
    Asked,
    fields,
    needed,
    number_of,
    offset_of,
    text,
    texts,
    token_for,
    whole,
)
from studio.lane.asking import Asker, Done, Elsewhere, Seen
from studio.lane.json_sql import listed, metric_number, quoted, record
from studio.lane.statements import WHO, asker, statement
from tracking.lane.reading.named import run_of
from tracking.lane.statements import RUN, SEEN

_MOST_RUNS = 100
_MOST_OF_BULK = 25_000  # points in all
_MOST_OF_INTERVAL = 2500  # points of each run
_LONGEST = 2**63
_KEY = quoted("%(key)s")
# How many of the runs there are, and the lowest of the levels on them.
_RUNS = """
    SELECT coalesce(sum(e.runs), 0) AS known,
           min(CASE WHEN a.is_superuser THEN 4
               ELSE studio_mlflow_level(a.username, 'experiment', e.experiment_id::text, 'run') END) AS level
    FROM asker a, (SELECT experiment_id, count(*) AS runs FROM runs
                   WHERE run_uuid = ANY(%(runs)s::text[]) GROUP BY experiment_id) e
"""


class History(NamedTuple):
    """The points of one run, by time: all of them, or a page."""

    run_id: str
    key: str
    most: int | None
    offset: int

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        most = _LONGEST - 1 if self.most is None else self.most
        limit = None if self.most is None else most + 1
        given = {
            "run": self.run_id,
            "key": self.key,
            "most": most,
            "limit": limit,
            "offset": self.offset,
        }
        with wires.reader() as reader:
            rows = reader.rows(
                _whose(asker.by_token), asker.given | {"run": self.run_id}, again=True
            )
            seen = Seen.of(rows[0] if rows else None)
            if (seen.level or 0) < Level.READ:
                raise Elsewhere
            found = reader.rows(_HISTORY, given, again=True)
        token = token_for(self.offset + most) if sum(count for _, count in found) > most else None
        pieces = [part for piece, _ in found if piece for part in (b",", piece)]
        listed = [b"[", *pieces[1:], b"]"] if pieces else []
        return Done(seen, told.page(b"metrics", *listed, token=token))


def history(asked: Asked) -> History:
    wanted = {
        "run_id": text, "run_uuid": text, "metric_key": text, "page_token": text, "max_results": whole,
    }  # fmt: skip
    sent = fields(asked, wanted)
    most = number_of(sent, 2**31) if "max_results" in sent else None
    return History(run_of(sent), needed(sent, "metric_key"), most, offset_of(sent))


@cache
def _whose(by_token: bool) -> bytes:
    return statement(
        {"asker": asker(by_token), "run": RUN}, [*SEEN], "asker a LEFT JOIN run ON true"
    )


_POINT = record(
    {"key": _KEY, "value": metric_number("m")}, {"timestamp": "m.timestamp", "step": "m.step"}
)
# In pieces, each with the number of its points: the driver keeps room for the longest that it was ever sent.
_PIECE = 10_000  # points
_HISTORY = f"""
    SELECT convert_to(string_agg({_POINT}, ',' ORDER BY place) FILTER (WHERE place < %(most)s), 'UTF8'), count(*)
    FROM (SELECT p.*, row_number() OVER () - 1 AS place
          FROM (SELECT * FROM metrics WHERE run_uuid = %(run)s AND key = %(key)s
                ORDER BY timestamp, step, value, is_nan LIMIT %(limit)s OFFSET %(offset)s) p) m
    GROUP BY place / {_PIECE} ORDER BY place / {_PIECE}
""".encode()  # noqa: S608 - constants


class Bulk(NamedTuple):
    """The points of several runs, run by run in the order of their ids, by time."""

    run_ids: list[str]
    key: str
    most: int

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        given = {"runs": self.run_ids, "key": self.key, "most": self.most}
        seen, found = _of_runs(asker, _bulk(asker.by_token), given)
        return Done(seen, told.page(b"metrics", found or b"[]"))


def bulk(asked: Asked) -> Bulk:
    sent = fields(asked, {"run_id": texts, "metric_key": text, "max_results": whole})
    most = min(number_of(sent, _LONGEST, _MOST_OF_BULK), _MOST_OF_BULK)
    return Bulk(_distinct(sent, "run_id"), needed(sent, "metric_key"), most)


@cache
def _bulk(by_token: bool) -> bytes:
    points = """(
        SELECT m.* FROM metrics m, runs_asked
        WHERE runs_asked.level >= 1 AND m.key = %(key)s AND m.run_uuid = ANY(%(runs)s::text[])
        ORDER BY m.run_uuid, m.timestamp, m.step, m.value, m.is_nan LIMIT %(most)s
    ) m"""
    # This route's JSON is not made by protobuf: NaN stands in it as Python writes it.
    point = record(
        {"key": _KEY, "value": metric_number("m", "NaN"), "run_id": quoted("m.run_uuid")},
        {"timestamp": "m.timestamp", "step": "m.step"},
    )
    return _asking_runs(by_token, listed(point, points))


class Interval(NamedTuple):
    """Of each run as many points, evenly chosen, the last among them: those of these steps."""

    run_ids: list[str]
    key: str
    most: int
    steps: tuple[int, int]

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        first, last = self.steps
        given = {
            "runs": self.run_ids,
            "key": self.key,
            "most": self.most,
            "first": first,
            "last": last,
        }
        seen, found = _of_runs(asker, _interval(asker.by_token), given)
        return Done(seen, told.page(b"metrics", *filter(None, [found])))


def interval(asked: Asked) -> Interval:
    wanted = {
        "run_ids": texts, "metric_key": text, "max_results": whole, "start_step": whole, "end_step": whole,
    }  # fmt: skip
    sent = fields(asked, wanted)
    steps = (sent.get("start_step", -_LONGEST), sent.get("end_step", _LONGEST - 1))
    if ("start_step" in sent) != ("end_step" in sent) or steps[0] > steps[1]:
        raise Elsewhere
    most = number_of(sent, _MOST_OF_INTERVAL, _MOST_OF_INTERVAL)
    return Interval(_distinct(sent, "run_ids"), needed(sent, "metric_key"), most, steps)


@cache
def _interval(by_token: bool) -> bytes:
    """As `SqlAlchemyStore.get_metric_history_bulk_interval`: the points lie in `most` buckets, the first ones of them
    larger by one where they are not equal. Of each the first is told, of the last bucket the last."""
    points = """
        unnest(%(runs)s::text[]) WITH ORDINALITY g (run_uuid, run_place)
        CROSS JOIN LATERAL (
            SELECT p.*, count(*) OVER () AS total,
                   row_number() OVER (ORDER BY p.step, p.timestamp, p.value, p.is_nan) - 1 AS place
            FROM metrics p, runs_asked
            WHERE runs_asked.level >= 1 AND p.run_uuid = g.run_uuid AND p.key = %(key)s
            AND p.step BETWEEN %(first)s::int8 AND %(last)s::int8
        ) m
        CROSS JOIN LATERAL (SELECT m.total / %(most)s AS size, m.total % %(most)s AS larger) b
        WHERE m.total <= %(most)s OR m.place = m.total - 1
        OR m.place < m.total - b.size AND CASE
            WHEN m.place < b.larger * (b.size + 1) THEN m.place % (b.size + 1)
            ELSE (m.place - b.larger) % b.size
        END = 0
    """.replace(" % ", " %% ")
    point = record(
        {"key": _KEY, "value": metric_number("m"), "run_id": quoted("m.run_uuid")},
        {"timestamp": "m.timestamp", "step": "m.step"},
    )
    ordered = f"(SELECT m.* FROM {points} ORDER BY g.run_place, m.place) m"  # noqa: S608
    return _asking_runs(by_token, listed(point, ordered))


def _of_runs(asker: Asker, statement: bytes, given: dict[str, object]) -> tuple[Seen, bytes | None]:
    """What is found of runs that are all there and may all be seen. Raises Stranger, and Elsewhere where they are not."""
    with wires.reader() as reader:
        rows = reader.rows(statement, asker.given | given, again=True)
    seen = Seen.of(rows[0] if rows else None)
    known, level, found = rows[0][-3:]
    runs = given["runs"]
    assert isinstance(runs, list)
    if known != len(runs) or level < Level.READ:
        raise Elsewhere
    return seen, found


def _asking_runs(by_token: bool, found: str) -> bytes:
    steps = {"asker": asker(by_token), "runs_asked": _RUNS}
    row = [*WHO, "runs_asked.known::int8", "runs_asked.level", f"convert_to({found}, 'UTF8')"]
    return statement(steps, row, "asker a, runs_asked")


def _distinct(sent: dict[str, list[str]], name: str) -> list[str]:
    """Raises Elsewhere where there are none, too many, or one twice."""
    runs = sent.get(name, [])
    if not 1 <= len(runs) <= _MOST_RUNS or len(set(runs)) < len(runs):
        raise Elsewhere
    return runs
