"""What a filter says, as a tree. It is at most as deep as its parentheses, times three."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias


class Operand(NamedTuple):
    """`kind` is attribute, metric, parameter, tag or dataset; aliases of `key` are resolved.

    `aggregate` is min, max, first, last or count, over all values of a metric, and empty for all else.
    """

    kind: str
    key: str
    aggregate: str = ""


class Comparison(NamedTuple):
    """`position` is where the comparison starts, counted from 0.

    `value` is a float for metrics, an int or float for other numbers, a tuple of texts for IN and NOT IN, None for
    IS NULL and IS NOT NULL, and a text for all else.
    """

    operand: Operand
    comparator: str
    value: Any
    position: int


class And(NamedTuple):
    """All parts hold. A filter that asks for nothing has none."""

    parts: tuple[Node, ...]


class Or(NamedTuple):
    """At least one of the two parts or more holds."""

    parts: tuple[Node, ...]


class Not(NamedTuple):
    """The part does not hold: so too for a run that lacks what the part compares."""

    part: Node


Node: TypeAlias = Comparison | And | Or | Not
