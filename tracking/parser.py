"""MLflow's own parser of filters and orders, so that what it accepts and refuses is the same here.

MLflow takes two seconds and 200 MB to import: it is imported by the processes that search, at their
first search, and not by everyone who imports this module.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from studio.lib.errors import Invalid
from studio.lib.imports import load


class Condition(NamedTuple):
    """One comparison: `kind` is attribute, metric, parameter, tag or dataset; aliases of `key` are resolved."""

    kind: str
    key: str
    comparator: str
    value: Any


class Order(NamedTuple):
    kind: str
    key: str
    ascending: bool


def parse_filter(text: str) -> list[Condition]:
    """All conditions must hold; none for an empty text. Raises Invalid, with MLflow's own words."""
    if not text:
        return []
    SearchUtils, MlflowException = _mlflow()  # noqa: N806 - classes
    try:
        found = []
        for part in SearchUtils.parse_search_filter(text):
            kind, comparator = part["type"], part["comparator"].upper()
            key = SearchUtils.translate_key_alias(part["key"])
            # Each raises MLflow's refusal of a comparator that it does not know for this kind of key.
            SearchUtils.is_attribute(kind, key, comparator)
            SearchUtils.is_metric(kind, comparator)
            SearchUtils.is_param(kind, comparator)
            SearchUtils.is_tag(kind, comparator)
            SearchUtils.is_dataset(kind, comparator)
            found.append(Condition(kind, key, comparator, part["value"]))
        return found
    except MlflowException as refused:
        raise Invalid(refused.message) from None
    except ValueError as failure:  # of int, where a number has thousands of digits
        raise Invalid(f"Invalid filter: {failure}.") from None


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
