"""Which runs are meant, as SQL over a table `runs`: one compiler, for the API and for pages.

What MLflow has a word for means what it means there: `_get_sqlalchemy_filter_clauses` of
`mlflow.store.tracking.sqlalchemy_store`.
"""

from __future__ import annotations

from typing import Any

from studio.lib.errors import Invalid
from studio.lib.sql import Sql, compared, every, some
from tracking.language.tree import And, Comparison, Node, Not, Or
from tracking.sql import TABLES, attribute

RUN_NAME_TAG = "mlflow.runName"
_CONTEXT_TAG = "mlflow.data.context"
# A run whose summaries may lack points, of which there is a mark: then its points are asked (tracking.summaries).
_STALE = "EXISTS (SELECT FROM tracking_stalerun t WHERE t.run_id = runs.run_uuid)"
_POINTS = "FROM metrics p WHERE p.run_uuid = runs.run_uuid AND p.key = %s"
_SUMMARY = "FROM tracking_metricsummary s WHERE s.run_id = runs.run_uuid AND s.key = %s"
# The value of all points of a key, for a run that has any. Of none the count is 0. Each is given the key twice.
_AGGREGATES = {
    "count": f"CASE WHEN {_STALE} THEN (SELECT count(*) {_POINTS}) ELSE coalesce((SELECT s.count {_SUMMARY}), 0) END",
    "min": f"CASE WHEN {_STALE} THEN (SELECT min(p.value) {_POINTS} AND NOT p.is_nan) ELSE (SELECT s.minimum {_SUMMARY}) END",
    "max": f"CASE WHEN {_STALE} THEN (SELECT max(p.value) {_POINTS} AND NOT p.is_nan) ELSE (SELECT s.maximum {_SUMMARY}) END",
}
_FIRST = f"""CASE WHEN {_STALE} THEN EXISTS (
    SELECT FROM (SELECT p.value, p.is_nan {_POINTS}
                 ORDER BY p.step, p.timestamp, p.value, p.is_nan DESC LIMIT 1) v WHERE {{0}})
    ELSE EXISTS (SELECT FROM (SELECT s.first AS value, s.first_is_nan AS is_nan {_SUMMARY}) v WHERE {{0}}) END"""  # noqa: S608 - constants

_ENDS = {"min": "s.minimum", "max": "s.maximum"}


def candidates(node: Node) -> Sql | None:
    """The ids of all runs that may be so, as a statement that an index answers: of a metric's minimum or maximum."""
    for part in node.parts if isinstance(node, And) else [node]:
        if isinstance(part, Comparison) and part.operand.aggregate in _ENDS:
            found = compared(_ENDS[part.operand.aggregate], part.comparator, float(part.value))
            text = f"""SELECT s.run_id FROM tracking_metricsummary s WHERE s.key = %s AND {found.text}
                UNION ALL SELECT t.run_id FROM tracking_stalerun t"""  # noqa: S608 - constants
            return Sql(text, (part.operand.key, *found.given))
    return None


def where(node: Node) -> Sql:
    """That a row `runs` is so. Raises Invalid for what no SQL can be made of."""
    match node:
        case And(parts):
            return every([where(part) for part in parts])
        case Or(parts):
            return some([where(part) for part in parts])
        case Not(part):
            found = where(part)
            return Sql(f"({found.text}) IS NOT TRUE", found.given)
        case Comparison():
            return _comparison(node)


def _comparison(node: Comparison) -> Sql:
    kind, key, aggregate = node.operand
    comparator, value = node.comparator, node.value
    match kind:
        case "attribute" if key == "run_name":  # older clients fill only the tag
            return _of_row("tag", RUN_NAME_TAG, _of_text(comparator, value))
        case "attribute":
            return compared(attribute(key), comparator, value)
        case "dataset":
            return _dataset(key, comparator, value)
        case "metric":
            return _metric(key, aggregate, comparator, float(value))
    if comparator == "IS NULL":
        found = _of_row(kind, key, Sql("true"))
        return Sql(f"NOT {found.text}", found.given)
    if comparator == "IS NOT NULL":
        return _of_row(kind, key, Sql("true"))
    return _of_row(kind, key, _of_text(comparator, value))


def _metric(key: str, aggregate: str, comparator: str, value: float) -> Sql:
    if aggregate in _AGGREGATES:
        found = compared("{}", comparator, value)
        return Sql(found.text.format(_AGGREGATES[aggregate]), (key, key, *found.given))
    holds = _of_number(comparator, value)
    if aggregate == "first":
        return Sql(_FIRST.format(holds.text), (key, *holds.given) * 2)
    return _of_row("metric", key, holds)


def _of_row(kind: str, key: str, holds: Sql) -> Sql:
    """Whether the run has this key, and its row `v` is so."""
    text = f"EXISTS (SELECT FROM {TABLES[kind]} v WHERE v.run_uuid = runs.run_uuid AND v.key = %s AND {holds.text})"  # noqa: S608 - constants
    return Sql(text, (key, *holds.given))


def _of_text(comparator: str, value: Any) -> Sql:
    """A param or a tag. The beginnings of their values are in an index, which has no room for long ones."""
    found = compared("v.value", comparator, value)
    if comparator != "=":
        return found
    return Sql(f"{found.text} AND left(v.value, 64) = left(%s, 64)", (*found.given, value))


def _of_number(comparator: str, value: float) -> Sql:
    """NaN is stored as 0: it is unequal to every number, and nothing else."""
    found = compared("v.value", comparator, value)
    if comparator == "!=":
        return Sql(f"({found.text} OR v.is_nan)", found.given)
    return Sql(f"{found.text} AND NOT v.is_nan", found.given)


def _dataset(key: str, comparator: str, value: Any) -> Sql:
    used = """EXISTS (
        SELECT FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id {}
        WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' AND i.destination_id = runs.run_uuid AND {})"""
    if key == "context":
        holds = compared("t.value", comparator, value)
        tags = f"JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = '{_CONTEXT_TAG}'"
        return Sql(used.format(tags, holds.text), holds.given)
    if key not in ("name", "digest"):
        raise Invalid(f"Invalid dataset attribute '{key}'")
    holds = compared(f"d.{key}", comparator, value)
    return Sql(used.format("", holds.text), holds.given)
