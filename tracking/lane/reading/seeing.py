"""Who may see what in a list: MLflow's rule of listings (`_role_based_read_predicate` of `mlflow.server.auth`), as SQL.

It is wider than the rule for one resource: there, a grant on the workspace counts from MANAGE on; here, any that
reads does, where the resource has no grant of its own.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from studio.lane.asking import Asker, Seen
from studio.lane.statements import WHO, statement
from studio.lane.statements import asker as asker_subquery
from studio.lane.wires import Reader

_READS = "permission IN ('READ', 'USE', 'EDIT', 'MANAGE')"
_DENIES = "permission = 'DENY'"
# None for an administrator, who needs none.
_GRANTS = """
    SELECT granted.resource_type, granted.resource_pattern, granted.permission
    FROM asker a JOIN users ON users.username = a.username
    JOIN user_role_assignments held ON held.user_id = users.id
    JOIN roles ON roles.id = held.role_id AND roles.workspace = 'default'
    JOIN role_permissions granted ON granted.role_id = roles.id
    WHERE NOT a.is_superuser AND granted.resource_type IN ('experiment', 'run', 'logged_model', 'workspace')
"""
_RIGHTS = f"""
    SELECT a.is_superuser OR coalesce(bool_or(resource_type = 'workspace' AND permission = 'MANAGE'), false) AS everything,
           coalesce(bool_or({_DENIES}) FILTER (WHERE resource_type = 'run'), false) AS no_runs,
           coalesce(bool_or({_DENIES}) FILTER (WHERE resource_type = 'logged_model'), false) AS no_models,
           coalesce(bool_or({_READS}) FILTER (WHERE resource_type = 'workspace'), false)
           AND NOT coalesce(bool_or({_DENIES}) FILTER (WHERE resource_type = 'workspace'), false) AS otherwise
    FROM asker a LEFT JOIN grants ON resource_pattern = '*' AND resource_type <> 'experiment'
    GROUP BY a.is_superuser
"""  # noqa: S608 - constants
_OWN = f"""
    SELECT resource_pattern AS pattern, bool_or({_DENIES}) AS denied, bool_or({_READS}) AS reads
    FROM grants WHERE resource_type = 'experiment' GROUP BY resource_pattern
"""  # noqa: S608 - constants
# Those rows `e` that may be seen, by their `experiment_id`.
_SEEN = """
    SELECT e.* FROM {source} CROSS JOIN rights
    LEFT JOIN own ON own.pattern = e.experiment_id::text LEFT JOIN own every ON every.pattern = '*'
    WHERE rights.everything OR {condition}
    AND NOT coalesce(own.denied, false) AND NOT coalesce(every.denied, false)
    AND CASE WHEN own.pattern IS NULL AND every.pattern IS NULL THEN rights.otherwise
        ELSE coalesce(own.reads, false) OR coalesce(every.reads, false) END
"""


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
    return _sight(reader, asker, experiments, "NOT rights.no_runs")


def _sight(reader: Reader, asker: Asker, experiments: list[int], condition: str) -> Sight:
    statement = _seeing(asker.by_token, condition)
    rows = reader.rows(statement, asker.given | {"experiments": experiments}, again=True)
    seen = Seen.of(rows[0] if rows else None)
    return Sight(seen, *rows[0][-3:])


@cache
def _seeing(by_token: bool, condition: str) -> bytes:
    source = "unnest(%(experiments)s::int4[]) e (experiment_id)"
    steps = {
        "asker": asker_subquery(by_token),
        "grants": _GRANTS,
        "rights": _RIGHTS,
        "own": _OWN,
        "seen": _SEEN.format(source=source, condition=condition),
    }
    told = [
        *WHO,
        "(SELECT coalesce(array_agg(experiment_id), '{}') FROM seen)",
        "rights.everything",
        "rights.no_models AND NOT rights.everything",
    ]
    return statement(steps, told, "asker a, rights")
