"""The order of runs as SQL over a table `runs`: `_get_orderby_clauses` of `mlflow.store.tracking.sqlalchemy_store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from studio.lib.errors import Invalid
from studio.lib.sql import Sql
from tracking.parser import Order
from tracking.sql import TABLES, attribute


class Ordering(NamedTuple):
    """What `runs` is joined with, the terms of ORDER BY, and of which runs it is the order."""

    joins: Sql
    terms: str
    where: str = "true"


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
        return [f"{attribute(order.key)} {direction} NULLS LAST"]
    value = f"o{place}.value {direction} NULLS LAST"
    if order.kind == "metric":
        return [
            f"CASE WHEN o{place}.is_nan THEN 1 WHEN o{place}.value IS NULL THEN 2 ELSE 0 END",
            value,
        ]
    return [value]


def _joined(order: Order, place: int) -> str:
    table = TABLES.get(order.kind)
    if table is None:
        raise Invalid(f"Invalid identifier type '{order.kind}'")
    return f"LEFT JOIN {table} o{place} ON o{place}.run_uuid = runs.run_uuid AND o{place}.key = %s"
