"""The runs that the reading rows read: the same ids and values in MLflow's tables and in FastTrackML's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import sqrt

from tests.bench.copying import Rows

METRICS, PARAMS, TAGS = 20, 10, 5  # of each run
VALUES = METRICS + PARAMS + TAGS
_START = 1_700_000_000_000  # milliseconds
_Made = Iterator[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Schema:
    """Where FastTrackML's tables differ from MLflow's: its own columns by table, and its name of a param's value."""

    own: Mapping[str, Sequence[str]] = field(default_factory=dict)
    param: str = "value"

    def rows(self, table: str, columns: Sequence[str], each: Iterable[tuple[object, ...]]) -> Rows:
        """Values of FastTrackML's own columns come last in each row: they are left off where there are none."""
        columns = [*columns, *self.own.get(table, ())]
        return Rows(table, columns, (row[: len(columns)] for row in each))


MLFLOWS = Schema()
FASTTRACKMLS = Schema(
    {
        "runs": ["row_num"],
        "metrics": ["iter", "context_id"],
        "latest_metrics": ["last_iter", "context_id"],
    },
    "value_str",
)
_RUN = [
    "run_uuid",
    "name",
    "source_type",
    "source_name",
    "entry_point_name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "source_version",
    "lifecycle_stage",
    "artifact_uri",
    "experiment_id",
]
_POINT = ["run_uuid", "key", "value", "timestamp", "step", "is_nan"]


@dataclass(frozen=True, slots=True)
class Runs:
    """Those with these numbers in an experiment."""

    schema: Schema
    experiment: str  # its name
    experiment_id: int
    numbers: Sequence[int]

    def whole(self, metrics: int) -> list[Rows]:
        """With so many keys of metrics, PARAMS and TAGS. No row asks for the history of these: it is left out."""
        rows = self.schema.rows
        return [
            rows("runs", _RUN, self._runs()),
            rows("latest_metrics", _POINT, self._latest(metrics)),
            rows("params", ["run_uuid", "key", self.schema.param], self._params()),
            rows("tags", ["run_uuid", "key", "value"], self._tags()),
        ]

    def with_points(self, points: int) -> list[Rows]:
        """With so many points of their one key, `loss`."""
        return [
            self.schema.rows("runs", _RUN, self._runs()),
            self.schema.rows("metrics", _POINT, self._points(range(points))),
            self.schema.rows("latest_metrics", _POINT, self._points([points - 1])),
        ]

    def _each(self) -> Iterator[tuple[int, str]]:
        return ((n, run_id(self.experiment, n)) for n in self.numbers)

    def _runs(self) -> _Made:
        for n, run in self._each():
            start, artifacts = _START + n * 1000, f"mlflow-artifacts:/bench/{run}"
            of_it = (run, f"run-{n}", "LOCAL", "train.py", "", "alice", "FINISHED", start)
            yield *of_it, start + 500, "", "active", artifacts, self.experiment_id, n

    def _of_keys(self, keys: Iterable[int]) -> Iterator[tuple[int, tuple[int, str]]]:
        """Key after key, through all runs: the values of one run lie apart, and no side is spared to look for them."""
        return product(keys, self._each())

    def _latest(self, metrics: int) -> _Made:
        for k, (n, run) in self._of_keys(range(metrics)):
            # Different for each run of an experiment, in no order: 1000003 is a prime.
            value = (n * 48271 + k * 69621) % 1000003 / 1000003
            yield run, f"metric_{k}", value, _START + n, 1, False, n, 1

    def _params(self) -> _Made:
        """A fifth of the runs has the same param_0, a sixth param_1, and so on."""
        for k, (n, run) in self._of_keys(range(PARAMS)):
            yield run, f"param_{k}", str(n * 7919 % (5 + k))

    def _tags(self) -> _Made:
        """The first is the one that every run of MLflow's has: it looks for names there."""
        for n, run in self._each():
            yield run, "mlflow.runName", f"run-{n}"
        for k, (n, run) in self._of_keys(range(1, TAGS)):
            yield run, f"tag_{k}", f"as people write {n * 104729 % (5 + k)}"

    def _points(self, steps: Iterable[int]) -> _Made:
        for _, run in self._each():
            for step in steps:
                yield run, "loss", 1 / (1 + sqrt(step)), _START + step, step, False, step, 1


def run_id(experiment: str, number: int) -> str:
    """Of a run, by its number in the experiment of this name."""
    return hashlib.md5(f"{experiment}/{number}".encode(), usedforsecurity=False).hexdigest()
