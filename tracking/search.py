"""MLflow's filter and order language over Django's query sets.

How the parts of a filter become SQL follows `mlflow.store.tracking.sqlalchemy_store` (filter clauses and order clauses of runs).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Exists,
    F,
    Field,
    FloatField,
    Lookup,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import OrderBy

from studio.lib.errors import Invalid
from tracking.models import Dataset, Input, InputTag, LatestMetric, Param, Run, Tag
from tracking.parser import Condition, parse_filter, parse_order

RUN_NAME_TAG = "mlflow.runName"
_CONTEXT_TAG = "mlflow.data.context"


class Like(Lookup):
    lookup_name = "like"
    word = "LIKE"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} {self.word} {right}", (*left_params, *right_params)


class ILike(Like):
    lookup_name = "ilike"
    word = "ILIKE"


Field.register_lookup(Like)
Field.register_lookup(ILike)

_LOOKUPS = {
    "=": "exact",
    "<": "lt",
    "<=": "lte",
    ">": "gt",
    ">=": "gte",
    "LIKE": "like",
    "ILIKE": "ilike",
    "IN": "in",
}
_SOURCES: dict[str, type[LatestMetric] | type[Param] | type[Tag]] = {
    "metric": LatestMetric,
    "parameter": Param,
    "tag": Tag,
}
_COLUMNS = {"run_id": "run_uuid"}


def matching(runs: QuerySet[Run], filter_string: str) -> QuerySet[Run]:
    """Keep the runs that MLflow's `search_runs` would keep. Raises Invalid, with MLflow's own words."""
    return runs.filter(reduce(operator.and_, map(_condition, parse_filter(filter_string)), Q()))


def ordered(runs: QuerySet[Run], order_by: str) -> QuerySet[Run]:
    """Order as MLflow does: NaN after numbers, missing after NaN, then the latest start, then the id.

    `order_by` is one clause (`metrics.loss ASC`), or empty. Raises Invalid.
    """
    ties = [F("start_time").desc(nulls_first=True), F("run_uuid").asc()]
    if not order_by:
        return runs.order_by(*ties)
    order = parse_order(order_by)
    kind, key, ascending = order.kind, order.key, order.ascending
    direction: Callable[[F], OrderBy] = (
        (lambda f: f.asc(nulls_last=True)) if ascending else (lambda f: f.desc(nulls_last=True))
    )
    if kind == "attribute":
        column = "name" if key in ("run_name", "Run Name") else _COLUMNS.get(key, key)
        return runs.order_by(direction(F(column)), *ties)
    if kind not in _SOURCES:
        raise Invalid(f"Invalid identifier type '{kind}'")
    source = _SOURCES[kind]
    row = source.objects.filter(run=OuterRef("pk"), key=key)
    runs = runs.annotate(order_value=Subquery(row.values("value")[:1]))
    if source is not LatestMetric:
        return runs.order_by(direction(F("order_value")), *ties)
    latest = LatestMetric.objects.filter(run=OuterRef("pk"), key=key)
    nan = Subquery(latest.values("is_nan")[:1], output_field=BooleanField())
    runs = runs.annotate(order_nan=nan).annotate(
        order_rank=Case(
            When(order_nan=True, then=Value(1)),
            When(order_value=None, then=Value(2)),
            default=Value(0),
        )
    )
    return runs.order_by("order_rank", direction(F("order_value")), *ties)


def _condition(condition: Condition) -> Q:
    kind, key = condition.kind, condition.key
    comparator, value = condition.comparator, condition.value
    if kind == "attribute":
        if key == "run_name":  # older clients fill only the tag
            return _row_of(Tag, RUN_NAME_TAG, comparator, value)
        if isinstance(value, float):  # Django would round it to the column's integers
            value = Value(value, FloatField())
        return _compare(_COLUMNS.get(key, key), comparator, value)
    if kind == "dataset":
        return _dataset(key, comparator, value)
    if kind == "metric":
        return _metric(key, comparator, float(value))
    return _row_of(Param if kind == "parameter" else Tag, key, comparator, value)


def _row_of(source: type[Param] | type[Tag], key: str, comparator: str, value: Any) -> Q:
    rows = source.objects.filter(run=OuterRef("pk"), key=key)
    if comparator == "IS NULL":
        return Q(~Exists(rows))
    if comparator == "IS NOT NULL":
        return Q(Exists(rows))
    return Q(Exists(rows.filter(_compare("value", comparator, value))))


def _metric(key: str, comparator: str, value: float) -> Q:
    rows = LatestMetric.objects.filter(run=OuterRef("pk"), key=key)
    if comparator == "!=":
        return Q(Exists(rows.filter(_compare("value", comparator, value) | Q(is_nan=True))))
    return Q(Exists(rows.filter(_compare("value", comparator, value), is_nan=False)))


def _dataset(key: str, comparator: str, value: Any) -> Q:
    uses = Input.objects.filter(
        destination_id=OuterRef("run_uuid"),
        destination_type="RUN",
        source_type="DATASET",
    )
    if key == "context":
        tags = InputTag.objects.filter(_compare("value", comparator, value), name=_CONTEXT_TAG)
        return Q(Exists(uses.filter(input_uuid__in=tags.values("input_uuid"))))
    rows = Dataset.objects.filter(_compare(key, comparator, value))
    return Q(Exists(uses.filter(source_id__in=rows.values("dataset_uuid"))))


def _compare(column: str, comparator: str, value: Any) -> Q:
    match comparator:
        case "!=":
            # As in SQL: a missing value is not unequal. (Django's exclude would count it.)
            return ~Q(**{column: value}) & Q(**{f"{column}__isnull": False})
        case "NOT IN":
            return ~Q(**{f"{column}__in": value}) & Q(**{f"{column}__isnull": False})
        case "LIKE" | "ILIKE" if (len(value) - len(value.rstrip("\\"))) % 2:
            raise Invalid("A pattern must not end with a single \\: write two for one.")
    return Q(**{f"{column}__{_LOOKUPS[comparator]}": value})
