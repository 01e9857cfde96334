"""What the tables hold of twins, with what must differ between the lanes replaced by words."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import psycopg

from tests.differential.twins import MARK, Twin

State = dict[str, list[str]]  # table → its rows as JSON, sorted
Rows = list[tuple[str, Any]]  # table and content, as they are

_ID = re.compile(rf"(?:m-)?[0-9a-f]{{32}}|19\d{{8}}|{MARK}")
_GENERATED = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")  # names that MLflow makes up for runs


class Names:
    """Replaces the ids of one twin, and of what has been made for it since, by words; and times of now by another."""

    def __init__(self, twin: Twin, since: int) -> None:
        self._since = since  # in milliseconds: what lies behind it is a time of this test
        self._words = twin.ids
        self._made: dict[str, int] = defaultdict(int)

    def learn(self, kind: str, found: str) -> None:
        """Name something new by its kind and the order in which it came."""
        if found not in self._words:
            self._made[kind] += 1
            self._words[found] = f"<new {kind} {self._made[kind]}>"

    def replaced(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self.replaced(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.replaced(inner) for inner in value]
        return self._number(value)

    def _number(self, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        if self._since <= value < 2 * self._since:
            return "<now>"
        return self._words.get(str(value), value)

    def _text(self, value: str) -> str:
        if "-" in value and _GENERATED.fullmatch(value):
            return "<generated name>"
        if len(value) < 10:  # no id is as short
            return value
        return _ID.sub(lambda found: self._words.get(found[0], found[0]), value)


def read(connection: psycopg.Connection[Any], twins: list[Twin]) -> dict[str, Rows]:
    """The rows of each twin, by its mark."""
    known = [experiment for twin in twins for experiment in twin.experiments]
    given = {"marks": [t.mark for t in twins], "known": known, "last": max(known), "pattern": MARK}
    rows: dict[str, Rows] = {twin.mark: [] for twin in twins}
    owner: dict[str, str] = {}  # the mark of the twin that has this experiment or run
    for mark, table, key, content in connection.execute(_HOLDERS, given).fetchall():
        owner[key] = mark
        rows[mark].append((table, content))
    experiments = [key for key in owner if key.isdecimal()]
    runs = [key for key in owner if not key.isdecimal()]
    held = {"experiments": experiments, "ids": [int(key) for key in experiments], "runs": runs}
    for key, table, content in connection.execute(_HELD, held).fetchall():
        rows[owner[key]].append((table, content))
    return rows


def named(rows: Rows, names: Names) -> State:
    for kind, column in (("experiment", "experiment_id"), ("run", "run_uuid")):
        for found in sorted(str(row[column]) for table, row in rows if table == f"{kind}s"):
            names.learn(kind, found)
    tables: State = defaultdict(list)
    for table, content in rows:
        tables[table].append(json.dumps(names.replaced(content), sort_keys=True))
    return {table: sorted(found) for table, found in tables.items()}


# What was made since the twins has a later number, and their mark in its name.
_HOLDERS = """
WITH e AS MATERIALIZED (
    SELECT substring(name from %(pattern)s) AS mark, * FROM experiments WHERE experiment_id = ANY(%(known)s)
    UNION ALL SELECT substring(name from %(pattern)s), * FROM experiments
    WHERE experiment_id > %(last)s AND substring(name from %(pattern)s) = ANY(%(marks)s)
)
SELECT mark, 'experiments', experiment_id::text, to_jsonb(e) - 'mark' FROM e
UNION ALL SELECT mark, 'runs', run_uuid, to_jsonb(runs) FROM runs JOIN e USING (experiment_id)
"""
# By arrays of keys, so that indexes serve, whatever the planner knows of tables that have just been filled.
_HELD = """
SELECT experiment_id::text, 'experiment_tags', to_jsonb(t) FROM experiment_tags t
WHERE experiment_id = ANY(%(ids)s)
UNION ALL SELECT experiment_id::text, 'datasets', to_jsonb(d) - 'dataset_uuid' FROM datasets d
WHERE experiment_id = ANY(%(ids)s)
UNION ALL SELECT run_uuid, 'metrics', to_jsonb(m) || jsonb_build_object('value', value::text) FROM metrics m
WHERE run_uuid = ANY(%(runs)s)
UNION ALL SELECT run_uuid, 'latest_metrics', to_jsonb(m) || jsonb_build_object('value', value::text)
FROM latest_metrics m WHERE run_uuid = ANY(%(runs)s)
UNION ALL SELECT run_uuid, 'params', to_jsonb(p) FROM params p WHERE run_uuid = ANY(%(runs)s)
UNION ALL SELECT run_uuid, 'tags', to_jsonb(t) FROM tags t WHERE run_uuid = ANY(%(runs)s)
UNION ALL SELECT run_id, 'logged_model_metrics',
                 to_jsonb(m) || jsonb_build_object('metric_value', metric_value::text,
                                                   'dataset_uuid', dataset_uuid IS NOT NULL)
FROM logged_model_metrics m WHERE run_id = ANY(%(runs)s)
UNION ALL SELECT run, 'inputs',
                 to_jsonb(i) - 'input_uuid' - 'source_id' - 'run'
                 || jsonb_build_object(
                    'source', coalesce(d.name || '@' || d.digest || ' in ' || d.experiment_id, i.source_id),
                    'tags', (SELECT jsonb_object_agg(t.name, t.value) FROM input_tags t
                             WHERE t.input_uuid = i.input_uuid))
FROM (SELECT destination_id AS run, * FROM inputs WHERE destination_type = 'RUN' AND destination_id = ANY(%(runs)s)
      UNION ALL SELECT source_id, * FROM inputs WHERE source_id = ANY(%(runs)s)) AS i
LEFT JOIN datasets d ON d.dataset_uuid = i.source_id
UNION ALL SELECT resource_pattern, 'grants',
                 jsonb_build_object('role', o.name, 'workspace', o.workspace, 'experiment', resource_pattern,
                                    'permission', permission,
                                    'users', (SELECT jsonb_agg(u.username ORDER BY u.username)
                                              FROM user_role_assignments a JOIN users u ON u.id = a.user_id
                                              WHERE a.role_id = o.id))
FROM role_permissions JOIN roles o ON o.id = role_id
WHERE resource_type = 'experiment' AND resource_pattern = ANY(%(experiments)s)
"""
