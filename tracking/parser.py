"""MLflow's own parser of filters and orders, so that what it accepts and refuses is the same here.

MLflow takes two seconds and 200 MB to import: it is imported by the processes that search, at their
first search, and not by everyone who imports this module. So is the reader of the larger language.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from studio.lib.errors import Invalid
from studio.lib.imports import load
from tracking.language.tree import And, Comparison, Node, Operand

_REMEMBERED = 1000  # characters: of longer filters nothing is kept


class Order(NamedTuple):
    kind: str
    key: str
    ascending: bool


def parse_filter(text: str) -> Node:
    """What a filter asks for. What MLflow takes means what it means there; else the larger language is tried.

    Raises Invalid, telling the place of the mistake.
    """
    return _parsed(text) if len(text) <= _REMEMBERED else _parsed.__wrapped__(text)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Node:
    """Pages and dashboards ask for the same again and again, and MLflow's parser takes half a millisecond."""
    try:
        return And(tuple(parse_as_mlflow(text)))
    except Invalid:
        found: Node = load("tracking.language.reader").parse(text)
        return found


def parse_as_mlflow(text: str) -> list[Comparison]:
    """The comparisons that MLflow's own parser finds: all must hold. Raises Invalid, with MLflow's own words."""
    if not text:
        return []
    SearchUtils, MlflowException = _mlflow()  # noqa: N806 - classes
    try:
        return [_comparison(SearchUtils, **part) for part in SearchUtils.parse_search_filter(text)]
    except MlflowException as refused:
        raise Invalid(refused.message) from None
    except ValueError as failure:  # of int, where a number has thousands of digits
        raise Invalid(f"Invalid filter: {failure}.") from None


def _comparison(utils: Any, type: str, key: str, comparator: str, value: Any) -> Comparison:  # noqa: A002 - MLflow's word
    comparator = comparator.upper()
    key = utils.translate_key_alias(key)
    # Each raises MLflow's refusal of a comparator that it does not know for this kind of key.
    utils.is_attribute(type, key, comparator)
    utils.is_metric(type, comparator)
    utils.is_param(type, comparator)
    utils.is_tag(type, comparator)
    utils.is_dataset(type, comparator)
    if type == "metric":
        value = float(value)
    return Comparison(Operand(type, key), comparator, value, 0)


def parse_order(text: str) -> Order:
    """One clause, `metrics.loss ASC` for instance. Raises Invalid, with MLflow's own words."""
    SearchUtils, MlflowException = _mlflow()  # noqa: N806 - classes
    try:
        kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(text)
        return Order(kind, SearchUtils.translate_key_alias(key), ascending)
    except MlflowException as refused:
        raise Invalid(refused.message) from None
    except ValueError as failure:  # of shlex, where a quote is left open
        raise Invalid(f"Invalid order_by clause '{text}': {failure}.") from None


def _mlflow() -> tuple[Any, type[Any]]:
    """MLflow's parser, and what it raises."""
    return load("mlflow.utils.search_utils").SearchUtils, load("mlflow.exceptions").MlflowException
