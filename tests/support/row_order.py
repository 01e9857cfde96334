"""In which order the lane's statements write their rows, as PostgreSQL itself tells: a trigger calls each row out."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import psycopg
from mlflow.entities import Metric
from psycopg import Rollback, sql

from tracking.lane import modelled
from tracking.lane.points import of_metrics
from tracking.lane.statements import PARTS, writing
from tracking.lane.writing import columns

Wire = psycopg.Connection[Any]
# Each with what tells a row of one run from another. Tags of inputs belong to what was made with them.
_TABLES = {
    "runs": [],
    "params": ["key"],
    "tags": ["key"],
    "metrics": ["key", "step", "timestamp", "value", "is_nan"],
    "latest_metrics": ["key"],
    "logged_model_metrics": ["model_id", "metric_name", "metric_timestamp_ms", "metric_step"],
    "datasets": ["name", "digest"],
    "inputs": ["source_type", "source_id", "destination_type", "destination_id"],
}
_MOMENTS = ((1, 7), (2, 0))  # timestamp and step
_CALL = """
CREATE FUNCTION call_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'row % %', TG_TABLE_NAME,
        (SELECT string_agg(to_jsonb(coalesce(NEW, OLD))->>name, ' ' ORDER BY place)
         FROM unnest(TG_ARGV) WITH ORDINALITY a (name, place));
    RETURN coalesce(NEW, OLD);
END $$
"""
_LISTEN = """
CREATE TRIGGER call_out BEFORE INSERT OR UPDATE OR DELETE ON {}
FOR EACH ROW EXECUTE FUNCTION call_out({})
"""


def compositions() -> list[tuple[str, ...]]:
    """Every choice of parts of which a statement could be made. A name is a tag too, and a tag is taken away alone."""
    together = [part for part in PARTS if part != "untag"]
    chosen = (itertools.combinations(together, count) for count in range(1, len(together) + 1))
    return [
        *(
            parts
            for parts in itertools.chain.from_iterable(chosen)
            if "tags" in parts or not {"name", "update"} & set(parts)
        ),
        ("untag",),
    ]


def parameters(order: random.Random, model_id: str) -> dict[str, Any]:
    """The same rows for all parts, in an order that is made up anew. NaN and 0 are stored as the same value."""
    keys = order.sample(["a", "B", "é"], 3)
    points = [
        (key, value, *at) for key in keys for value in (math.nan, 0.0, 1.5) for at in _MOMENTS
    ]
    metrics = [Metric(*point) for point in order.sample(points, len(points))]
    of_model = [Metric(key, 1.0, 1, step, model_id) for key in keys for step in (1, 0)]
    return {
        **columns("param", dict.fromkeys(keys, "1")),
        **columns("tag", dict.fromkeys([*keys, "mlflow.runName"], "new")),
        **of_metrics(metrics).given,
        **modelled.columns(modelled.of_metrics(of_model)),
        "name": "new",
        "status": "FINISHED",
        "end_time": 1,
        "tag": "a",
        **_datasets(order.sample(keys, len(keys))),
    }


def _datasets(names: list[str]) -> dict[str, Any]:
    kept = dict.fromkeys(("source_type", "source", "schema", "profile"), ["text"] * len(names))
    given = {"name": names, "digest": names, **kept}
    tags = {"tag_place": [1], "tag_key": ["context"], "tag_value": ["training"]}
    return {f"dataset_{name}": values for name, values in given.items()} | tags | {"input_ids": []}


class Caller:
    """A connection to a database in which rows are called out. Nothing that it writes is kept."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._heard: list[str] = []
        wire.add_notice_handler(lambda told: self._heard.append(str(told.message_primary)))

    def rows(self, parts: Sequence[str], given: dict[str, Any]) -> list[str]:
        """The rows that a statement of these parts writes, in its order."""
        self._heard.clear()
        with self._wire.transaction():
            told = self._wire.execute(writing(False, *parts), given).fetchone()
            assert told is not None
            raise Rollback
        return list(dict.fromkeys(line for line in self._heard if line.startswith("row ")))


@contextmanager
def called_out(url: str) -> Iterator[Caller]:
    """All in one transaction, which is undone."""
    with psycopg.connect(url) as wire, wire.transaction(force_rollback=True):
        wire.execute("SET LOCAL client_min_messages = notice")
        wire.execute(_CALL)
        for table, names in _TABLES.items():
            told = sql.SQL(", ").join(map(sql.Literal, names))
            wire.execute(sql.SQL(_LISTEN).format(sql.Identifier(table), told))
        yield Caller(wire)


def orders(caller: Caller, seen: dict[str, Any], model_id: str) -> list[list[str]]:
    """The rows in the order of every composition, each with its parameters shuffled twice.

    `seen`: who asks, and the run.
    """
    order = random.Random(6)  # noqa: S311 - no secret
    return [
        caller.rows(parts, parameters(order, model_id) | seen)
        for parts in compositions()
        for _ in range(2)
    ]


def circle_in(found: Iterable[Sequence[str]]) -> list[str] | None:
    """Rows that two of these, or several, write in such orders that each may wait for the next."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for rows in found:
        for earlier, later in pairwise(rows):
            graph.add(later, earlier)
    try:
        graph.prepare()
    except CycleError as circle:
        return list(circle.args[1])
    return None
