"""Filters and orders of models and versions, parsed by MLflow's own parser: as SQL. All raise Elsewhere for what MLflow refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mlflow.prompt.constants import IS_PROMPT_TAG_KEY

from studio.accounts.permissions import WORKSPACE
from studio.lane.asked import text, texts, whole
from studio.lane.asking import Elsewhere
from studio.lib.sql import Sql, compared, every

FIELDS = {"filter": text, "max_results": whole, "order_by": texts, "page_token": text}
STRING_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")


class Tags(NamedTuple):
    """Where tags are, and SQL: whether a tag `t` is the row's, and whether it is of the row's model."""

    table: str
    of_row: str
    of_model: str

    def one(self, whose: str) -> str:
        """There is a tag with this key of whom it is asked for. The SQL can be added to."""
        return f"EXISTS (SELECT FROM {self.table} t WHERE t.workspace = '{WORKSPACE}' AND t.key = %s AND {whose}"  # noqa: S608


def where(
    parsed: Sequence[Mapping[str, Any]], attribute: Callable[[str, str, Any], Sql], tags: Tags
) -> Sql:
    """All conditions of a filter. Prompts are left out, and what it says of their tag with them, unless it asks for prompts.

    `attribute` makes one of a key, a comparator and a value.
    """
    prompts = _asks_for_prompts(parsed)
    pieces = [] if prompts else [Sql(f"NOT {tags.one(tags.of_model)} AND t.value = 'true')", (IS_PROMPT_TAG_KEY,))]  # fmt: skip
    for part in parsed:
        key, comparator, value = part["key"], part["comparator"], part["value"]
        if part["type"] != "tag":
            pieces.append(attribute(key, comparator, value))
            continue
        must_be_one_of(comparator, STRING_COMPARATORS)
        if key == IS_PROMPT_TAG_KEY and not prompts:
            continue
        holds = _value(comparator, value)
        pieces.append(Sql(f"{tags.one(tags.of_row)} AND {holds.text})", (key, *holds.given)))
    return every(pieces)


def _value(comparator: str, value: str) -> Sql:
    """How a tag's value must be. An index of values holds their beginnings (migration 0002), since it has no room for the longest."""
    found = compared("t.value", comparator, value)
    if comparator != "=":
        return found
    return Sql(f"{found.text} AND left(t.value, 64) = left(%s, 64)", (*found.given, value))


def order(given: Iterable[tuple[str, bool]], usual: Sequence[tuple[str, bool]]) -> str:
    """Columns, each with whether it ascends: those that were asked for, and of the usual ones those that were not."""
    terms = list(given)
    if len(dict(terms)) < len(terms):
        raise Elsewhere
    terms += [term for term in usual if term[0] not in dict(terms)]
    return ", ".join(f"{column} {'ASC' if ascends else 'DESC'}" for column, ascends in terms)


def must_be_one_of(found: str, known: Iterable[str]) -> None:
    if found not in known:
        raise Elsewhere


def _asks_for_prompts(parsed: Sequence[Mapping[str, Any]]) -> bool:
    """As `_is_querying_prompt` of MLflow's store: what is said first of the tag counts."""
    for part in parsed:
        if part["type"] == "tag" and part["key"] == IS_PROMPT_TAG_KEY:
            return (part["comparator"], part["value"].lower()) in (("=", "true"), ("!=", "false"))
    return False
