"""What the reading rows read, put straight into each side's database: the same ids and values on every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from tests.bench import seeded_models
from tests.bench.copying import Rows, copy_rows
from tests.bench.seeded_runs import FASTTRACKMLS, METRICS, MLFLOWS, Runs, run_id
from tests.bench.sides import FASTTRACKML, Side

EXPERIMENTS = ["runs 1000", "runs 10000", "runs 100000", "single runs"]
_SINGLE = EXPERIMENTS[-1]
_RUN = "SELECT FROM runs WHERE run_uuid = %s"
_MODEL = "SELECT FROM registered_models WHERE name = %s"


class Seeded:
    """A side with what is in its database. Whatever is asked for is put there, once.

    `experiments`: the ids of those of EXPERIMENTS, by name.
    """

    def __init__(self, side: Side, experiments: Mapping[str, str]) -> None:
        self.side, self._experiments = side, experiments
        self._schema = FASTTRACKMLS if side.name == FASTTRACKML else MLFLOWS

    def experiment(self, runs: int) -> str:
        """The id of the experiment that has so many runs, each with VALUES values."""
        name = f"runs {runs}"
        self._fill(_RUN, run_id(name, 0), self._runs(name, range(runs)).whole(METRICS))
        return self._experiments[name]

    def one_of(self, runs: int) -> str:
        """The id of a run with VALUES values, in that experiment."""
        self.experiment(runs)
        return run_id(f"runs {runs}", runs // 2)

    def with_keys(self, many: int) -> str:
        """The id of a run with so many keys of metrics, and PARAMS and TAGS."""
        return self._single(many, self._runs(_SINGLE, [many]).whole(many))

    def with_points(self, many: int) -> str:
        """The id of a run with so many points of its one key, `loss`."""
        return self._single(many, self._runs(_SINGLE, [many]).with_points(many))

    def models(self) -> None:
        """MODELS of VERSIONS each. FastTrackML has no registry."""
        self._fill(_MODEL, seeded_models.model_name(0), seeded_models.models())

    def _runs(self, experiment: str, numbers: Sequence[int]) -> Runs:
        return Runs(self._schema, experiment, int(self._experiments[experiment]), numbers)

    def _single(self, number: int, tables: Sequence[Rows]) -> str:
        run = run_id(_SINGLE, number)
        self._fill(_RUN, run, tables)
        return run

    def _fill(self, look: str, key: str, tables: Sequence[Rows]) -> None:
        """Unless one of them is there, which `look` finds by its key."""
        with psycopg.connect(self.side.database, autocommit=True) as connection:
            if connection.execute(look.encode(), [key]).fetchone() is None:
                copy_rows(connection, tables)
