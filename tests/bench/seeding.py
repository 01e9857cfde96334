"""What the reading rows read, put straight into each side's database: the same runs, ids and values on every one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import psycopg

from tests.bench.sides import FASTTRACKML, Side

METRICS, PARAMS, TAGS = 20, 10, 5  # of each run
VALUES = METRICS + PARAMS + TAGS
EXPERIMENTS = ["runs 1000", "runs 10000", "runs 100000", "single runs"]
_SINGLE = EXPERIMENTS[-1]


class _Schema(NamedTuple):
    """Where FastTrackML's tables differ from MLflow's: columns of its own, and what they hold of the row `n`."""

    run: tuple[str, str] = ("", "")
    point: tuple[str, str] = ("", "")
    latest: tuple[str, str] = ("", "")
    param: str = "value"


_MLFLOW = _Schema()
_FASTTRACKML = _Schema(
    (", row_num", ", n"), (", iter, context_id", ", n, 1"), (", last_iter, context_id", ", n, 1"), "value_str"
)  # fmt: skip
# Different for each run of an experiment, in no order: 1000003 is a prime.
_SHUFFLED = "((n * 48271 + k * 69621) %% 1000003)::float8 / 1000003"
_RUNS = """
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
        end_time, source_version, lifecycle_stage, artifact_uri, experiment_id{run[0]})
    SELECT md5(%(name)s || '/' || n), 'run-' || n, 'LOCAL', 'train.py', '', 'alice', 'FINISHED',
        1700000000000 + n * 1000, 1700000000500 + n * 1000, '', 'active',
        'mlflow-artifacts:/bench/' || md5(%(name)s || '/' || n), %(experiment)s{run[1]}
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
_OF_RUNS = (
    "FROM generate_series(%(first)s::bigint, %(last)s::bigint) n, generate_series(0, {} - 1) k"
)
# The latest points alone: no row asks for the history of these.
_LATEST = f"""
    INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan{{latest[0]}})
    SELECT md5(%(name)s || '/' || n), 'metric_' || k, {_SHUFFLED}, 1700000000000 + n, 1, false{{latest[1]}}
    {_OF_RUNS.format("%(metrics)s")}
"""  # noqa: S608 - constants
# A fifth of the runs has the same param_0, a sixth param_1, and so on.
_PARAMS = f"""
    INSERT INTO params (run_uuid, key, {{param}})
    SELECT md5(%(name)s || '/' || n), 'param_' || k, (n * 7919 %% (5 + k))::text {_OF_RUNS.format(PARAMS)}
"""  # noqa: S608 - constants
# The first is the one that every run of MLflow's has: it looks for names there.
_TAGS = f"""
    INSERT INTO tags (run_uuid, key, value)
    SELECT md5(%(name)s || '/' || n), CASE k WHEN 0 THEN 'mlflow.runName' ELSE 'tag_' || k END,
        CASE k WHEN 0 THEN 'run-' || n ELSE 'as people write ' || (n * 104729 %% (5 + k)) END
    {_OF_RUNS.format(TAGS)}
"""  # noqa: S608 - constants
_HISTORY = """
    INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan{point[0]})
    SELECT %(run)s, 'loss', 1 / (1 + sqrt(n)), 1700000000000 + n, n, false{point[1]}
    FROM generate_series(0, %(points)s - 1) n
"""
_LAST = """
    INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan{latest[0]})
    SELECT run_uuid, key, value, timestamp, step, is_nan{latest[1]}
    FROM metrics, (SELECT %(points)s::bigint - 1 AS n) last WHERE run_uuid = %(run)s AND step = n
"""
_TABLES = "runs, metrics, latest_metrics, params, tags"


class Seeded:
    """A side with what is in its database. Whatever is asked for is put there, once.

    `experiments`: the ids of those of EXPERIMENTS, by name.
    """

    def __init__(self, side: Side, experiments: Mapping[str, str]) -> None:
        self.side, self._experiments = side, experiments
        self._schema = _FASTTRACKML if side.name == FASTTRACKML else _MLFLOW

    def experiment(self, runs: int) -> str:
        """The id of the experiment that has so many runs, each with VALUES values."""
        name = f"runs {runs}"
        given = {"name": name, "first": 0, "last": runs - 1, "metrics": METRICS}
        self._fill(run_id(name, 0), given, [_RUNS, _LATEST, _PARAMS, _TAGS])
        return self._experiments[name]

    def one_of(self, runs: int) -> str:
        """The id of a run with VALUES values, in that experiment."""
        self.experiment(runs)
        return run_id(f"runs {runs}", runs // 2)

    def with_keys(self, many: int) -> str:
        """The id of a run with so many keys of metrics, and PARAMS and TAGS."""
        given = {"first": many, "last": many, "metrics": many}
        return self._single(many, given, [_RUNS, _LATEST, _PARAMS, _TAGS])

    def with_points(self, many: int) -> str:
        """The id of a run with so many points of its one key, `loss`."""
        run = run_id(_SINGLE, many)
        given = {"first": many, "last": many, "run": run, "points": many}
        return self._single(many, given, [_RUNS, _HISTORY, _LAST])

    def _single(self, number: int, given: Mapping[str, object], statements: list[str]) -> str:
        run = run_id(_SINGLE, number)
        self._fill(run, {"name": _SINGLE, **given}, statements)
        return run

    def _fill(self, run: str, given: Mapping[str, object], statements: list[str]) -> None:
        """Unless this run is there. VACUUM and ANALYZE are what PostgreSQL does by itself, a minute later."""
        experiment = self._experiments[str(given["name"])]
        with psycopg.connect(self.side.database, autocommit=True) as connection:
            there = connection.execute("SELECT FROM runs WHERE run_uuid = %s", [run]).fetchone()
            if there is not None:
                return
            with connection.transaction():
                for statement in statements:
                    text = statement.format(**self._schema._asdict())
                    connection.execute(text.encode(), {**given, "experiment": experiment})
            connection.execute(f"VACUUM (ANALYZE) {_TABLES}".encode())


def run_id(experiment: str, number: int) -> str:
    """Of a run, by its number in the experiment of this name."""
    return hashlib.md5(f"{experiment}/{number}".encode(), usedforsecurity=False).hexdigest()
