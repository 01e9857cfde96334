"""The fast lane asked in the tests' own process, and what stands in MLflow's tables afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
import psycopg
from psycopg import sql

from studio.lane.answers import Answer, answer
from studio.lane.asking import Asker
from studio.lane.messages import Body
from tracking.models import LoggedModel, Run

Wire = psycopg.Connection[Any]
Row = tuple[Any, ...]
_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity
WRITTEN = ("runs", "metrics", "latest_metrics", "params", "tags", "logged_model_metrics")


class Point(NamedTuple):
    """A point of a metric as it is stored."""

    key: str
    step: int
    timestamp: int
    value: float
    is_nan: bool = False

    @classmethod
    def of(cls, key: str, value: float, timestamp: int, step: int) -> Point:
        """As MLflow keeps it: NaN as 0, infinity as the largest number."""
        if math.isnan(value):
            return cls(key, step, timestamp, 0.0, True)
        return cls(key, step, timestamp, max(-_LARGEST, min(value, _LARGEST)))

    @property
    def sent(self) -> dict[str, Any]:
        value = "NaN" if self.is_nan else self.value
        return {"key": self.key, "value": value, "timestamp": self.timestamp, "step": self.step}


def ask(user_id: int, route: str, **body: Any) -> Answer:
    """Send this to a route below `mlflow/runs/`."""
    sent = Body(orjson.dumps(body), "application/json")
    return answer(f"mlflow/runs/{route}", Asker(user_id), sent)


def pairs(named: dict[str, str]) -> list[dict[str, str]]:
    """Params or tags as a request holds them."""
    return [{"key": key, "value": value} for key, value in named.items()]


def latest_of(points: Iterable[Point]) -> set[Point]:
    """Of each key the greatest by step, timestamp and value: what MLflow calls the latest."""
    found: dict[str, Point] = {}
    for point in sorted(points, key=lambda point: point[1:4]):
        found[point.key] = point
    return set(found.values())


def points_in(wire: Wire, run_id: str, table: str = "metrics") -> list[Point]:
    asked = "SELECT key, step, timestamp, value, is_nan FROM {} WHERE run_uuid = %s"
    rows = wire.execute(sql.SQL(asked).format(sql.Identifier(table)), [run_id])
    return [Point(*row) for row in rows]


def named_in(wire: Wire, run_id: str, table: str) -> dict[str, str]:
    """The run's params or tags."""
    asked = sql.SQL("SELECT key, value FROM {} WHERE run_uuid = %s").format(sql.Identifier(table))
    return dict(wire.execute(asked, [run_id]).fetchall())


def versions_in(wire: Wire, run_id: str) -> dict[str, list[Row]]:
    """Every row of the run by table, with where it lies and who wrote it: a row that was written anew differs."""
    found = {}
    for table in WRITTEN:
        key = sql.Identifier("run_id" if table == "logged_model_metrics" else "run_uuid")
        asked = "SELECT ctid::text, xmin::text, t.* FROM {} t WHERE {} = %s ORDER BY ctid"
        found[table] = wire.execute(
            sql.SQL(asked).format(sql.Identifier(table), key), [run_id]
        ).fetchall()
    return found


def end_sessions(wire: Wire) -> None:
    """End the lane's sessions, as a restart of PostgreSQL does. Only then is what they have counted certain to be told."""
    wire.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE application_name = 'studio-lane' AND datname = current_database()"
    )


def deadlocks(wire: Wire) -> int:
    """How many PostgreSQL has ended in this database. The lane's sessions are ended: until then they may keep theirs."""
    end_sessions(wire)
    wire.execute("SELECT pg_stat_clear_snapshot()")
    told = wire.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(told.fetchall()[0][0])


def blocked(wire: Wire) -> list[int]:
    """The lane's sessions that wait for another's row."""
    told = wire.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'studio-lane' "
        "AND datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    return [pid for (pid,) in told.fetchall()]


def make_model(model_id: str, run: Run) -> LoggedModel:
    """A logged model in the run's experiment."""
    assert run.experiment is not None
    return LoggedModel.objects.create(
        model_id=model_id,
        experiment=run.experiment,
        name="m",
        artifact_location=f"mlflow-artifacts:/{run.experiment_id}/models/{model_id}",
        creation_timestamp_ms=1,
        last_updated_timestamp_ms=1,
        status=2,
        lifecycle_stage="active",
    )
