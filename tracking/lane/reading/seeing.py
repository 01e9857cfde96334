"""Which experiments, and whose runs, may be seen in a list."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from studio.lane.asking import Asker, Seen
from studio.lane.seeing import OWN, RIGHTS, grants, judged, sees
from studio.lane.statements import WHO, statement
from studio.lane.statements import asker as asker_subquery
from studio.lane.wires import Reader

_EXPERIMENTS = judged(
    "unnest(%(experiments)s::int4[]) e (experiment_id)", "'experiment'", "e.experiment_id::text"
)


class Sight(NamedTuple):
    """Who asks, which of the experiments that were named may be seen, and whether models may not."""

    seen: Seen
    experiments: list[int]
    everything: bool
    hides_models: bool


def experiments_seen(reader: Reader, asker: Asker, experiments: list[int]) -> Sight:
    """Raises Stranger."""
    return _sight(reader, asker, experiments, "true")


def runs_seen(reader: Reader, asker: Asker, experiments: list[int]) -> Sight:
    """The experiments are those whose runs may be seen. Raises Stranger."""
    return _sight(reader, asker, experiments, "'run' <> ALL (rights.denied)")


def _sight(reader: Reader, asker: Asker, experiments: list[int], condition: str) -> Sight:
    statement = _seeing(asker.by_token, condition)
    rows = reader.rows(statement, asker.given | {"experiments": experiments}, again=True)
    seen = Seen.of(rows[0] if rows else None)
    return Sight(seen, *rows[0][-3:])


@cache
def _seeing(by_token: bool, condition: str) -> bytes:
    steps = {
        "asker": asker_subquery(by_token),
        "grants": grants("experiment", "run", "logged_model", "workspace"),
        "rights": RIGHTS,
        "own": OWN,
        "seen": f"SELECT e.experiment_id FROM {_EXPERIMENTS} WHERE {sees(condition)}",  # noqa: S608
    }
    told = [
        *WHO,
        "(SELECT coalesce(array_agg(experiment_id), '{}') FROM seen)",
        "rights.everything",
        "'logged_model' = ANY (rights.denied)",
    ]
    return statement(steps, told, "asker a, rights")
