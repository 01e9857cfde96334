"""Conditions and orders of a search as SQL over a table `runs`: one compiler, for the API and for pages.

What each means is MLflow's: `_get_sqlalchemy_filter_clauses` and `_get_orderby_clauses` of
`mlflow.store.tracking.sqlalchemy_store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from studio.lib.errors import Invalid
from tracking.parser import Condition, Order

RUN_NAME_TAG = "mlflow.runName"
_CONTEXT_TAG = "mlflow.data.context"
_TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}
_COLUMNS = {"run_id": "run_uuid", "run_name": "name", "Run Name": "name"}
_ATTRIBUTES = {
    "artifact_uri",
    "end_time",
    "experiment_id",
    "lifecycle_stage",
    "name",
    "run_uuid",
    "start_time",
    "status",
    "user_id",
}
# Of a value, and what it is compared with. A missing value is not unequal to anything.
_COMPARISONS = {
    "=": "{} = %s",
    "!=": "{} <> %s",
    "<": "{} < %s",
    "<=": "{} <= %s",
    ">": "{} > %s",
    ">=": "{} >= %s",
    "LIKE": "{} LIKE %s",
    "ILIKE": "{} ILIKE %s",
    "IN": "{} = ANY(%s)",
    "NOT IN": "{} <> ALL(%s)",
}


class Sql(NamedTuple):
    """A piece of SQL with a `%s` for each value that is given to it."""

    text: str
    given: tuple[Any, ...] = ()


class Ordering(NamedTuple):
    """What `runs` is joined with, the terms of ORDER BY, and of which runs it is the order."""

    joins: Sql
    terms: str
    where: str = "true"


def where(conditions: Sequence[Condition]) -> Sql:
    """All conditions, of a row `runs`. Raises Invalid for what no SQL can be made of."""
    return every([_condition(condition) for condition in conditions])


def every(pieces: Sequence[Sql]) -> Sql:
    """All of them hold, or there are none."""
    return Sql(
        " AND ".join(piece.text for piece in pieces) or "true",
        tuple(value for piece in pieces for value in piece.given),
    )


def ordering(orders: Sequence[Order]) -> Ordering:
    """NaN comes after numbers and missing after NaN, whichever way; then the latest start, then the id. Raises Invalid."""
    joins = [
        _joined(order, place) for place, order in enumerate(orders) if order.kind != "attribute"
    ]
    given = tuple(order.key for order in orders if order.kind != "attribute")
    terms = [term for place, order in enumerate(orders) for term in _terms(order, place)]
    if not any(_is_start(order) for order in orders):
        terms += ["runs.start_time DESC"]
    return Ordering(Sql(" ".join(joins), given), ", ".join([*terms, "runs.run_uuid"]))


def leading(orders: Sequence[Order]) -> Ordering | None:
    """The order of the runs that come first, where an index has them in it. They have a number for the first order."""
    if not orders or not (orders[0].kind == "metric" or _is_start(orders[0])):
        return None
    every = ordering(orders)
    value, where = (
        ("o0.value", "NOT o0.is_nan") if orders[0].kind == "metric" else ("runs.start_time", "")
    )
    first = f"{value} {'ASC' if orders[0].ascending else 'DESC'}"
    rest = every.terms.removeprefix(", ".join(_terms(orders[0], 0)))
    joins = Sql(
        every.joins.text.removeprefix("LEFT ") if where else every.joins.text, every.joins.given
    )
    return Ordering(joins, first + rest, where or "runs.start_time IS NOT NULL")


def _is_start(order: Order) -> bool:
    return order.kind == "attribute" and order.key == "start_time"


def _terms(order: Order, place: int) -> list[str]:
    direction = "ASC" if order.ascending else "DESC"
    if order.kind == "attribute":
        return [f"runs.{_attribute(order.key)} {direction} NULLS LAST"]
    value = f"o{place}.value {direction} NULLS LAST"
    if order.kind == "metric":
        return [
            f"CASE WHEN o{place}.is_nan THEN 1 WHEN o{place}.value IS NULL THEN 2 ELSE 0 END",
            value,
        ]
    return [value]


def _joined(order: Order, place: int) -> str:
    table = _TABLES.get(order.kind)
    if table is None:
        raise Invalid(f"Invalid identifier type '{order.kind}'")
    return f"LEFT JOIN {table} o{place} ON o{place}.run_uuid = runs.run_uuid AND o{place}.key = %s"


def _condition(condition: Condition) -> Sql:
    kind, key, comparator, value = condition
    match kind:
        case "attribute" if key == "run_name":  # older clients fill only the tag
            return _of_row("tag", RUN_NAME_TAG, _of_text(comparator, value))
        case "attribute":
            return compared(f"runs.{_attribute(key)}", comparator, value)
        case "dataset":
            return _dataset(key, comparator, value)
    if comparator == "IS NULL":
        found = _of_row(kind, key, Sql("true"))
        return Sql(f"NOT {found.text}", found.given)
    if comparator == "IS NOT NULL":
        return _of_row(kind, key, Sql("true"))
    if kind == "metric":
        return _of_row(kind, key, _of_metric(comparator, float(value)))
    return _of_row(kind, key, _of_text(comparator, value))


def _of_row(kind: str, key: str, holds: Sql) -> Sql:
    """Whether the run has this key, and its row `v` is so."""
    table = _TABLES[kind]
    text = f"EXISTS (SELECT FROM {table} v WHERE v.run_uuid = runs.run_uuid AND v.key = %s AND {holds.text})"  # noqa: S608 - constants
    return Sql(text, (key, *holds.given))


def _of_text(comparator: str, value: Any) -> Sql:
    """A param or a tag. The beginnings of their values are in an index, which has no room for long ones."""
    found = compared("v.value", comparator, value)
    if comparator != "=":
        return found
    return Sql(f"{found.text} AND left(v.value, 64) = left(%s, 64)", (*found.given, value))


def _of_metric(comparator: str, value: float) -> Sql:
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


def compared(value: str, comparator: str, other: Any) -> Sql:
    """How SQL's `value` must be to what is given. Raises Invalid for a pattern that ends within an escape."""
    if comparator in ("LIKE", "ILIKE") and (len(other) - len(other.rstrip("\\"))) % 2:
        raise Invalid("A pattern must not end with a single \\: write two for one.")
    given = list(other) if comparator in ("IN", "NOT IN") else other
    return Sql(_COMPARISONS[comparator].format(value), (given,))


def _attribute(key: str) -> str:
    """The column of an attribute. Raises Invalid: it stands in the SQL as it is."""
    column = _COLUMNS.get(key, key)
    if column not in _ATTRIBUTES:
        raise Invalid(f"Invalid attribute key '{key}'")
    return column
