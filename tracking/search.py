"""Searches for runs, by MLflow's filter and order language: one for the API and for pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from studio.lib.sql import Sql, every
from tracking import conditions
from tracking.orders import Ordering, leading, ordering
from tracking.parser import Order, parse_filter

# So few runs are looked at one by one: a few milliseconds.
_FEW = 1000
# A page that ends so early is worth a look at the leading runs alone.
_EARLY = 500
_Row = TypeVar("_Row")


class Search(NamedTuple):
    """The runs of these experiments, in these stages, that are so, in this order.

    `leading`: the order of those that come first, where an index has them in it. `candidates`: the ids of all that
    may be so, where an index has these.
    """

    experiments: Sequence[int]
    stages: Sequence[str]
    where: Sql
    order: Ordering
    leading: Ordering | None
    candidates: Sql | None

    @classmethod
    def read(
        cls,
        experiments: Sequence[int],
        stages: Sequence[str],
        filter_string: str,
        orders: Sequence[Order],
    ) -> Search:
        """Raises Invalid: of a filter with the place of the mistake."""
        node = parse_filter(filter_string)
        where, candidates = conditions.where(node), conditions.candidates(node)
        order, first = ordering(orders), leading(orders)
        return cls(experiments, stages, where, order, first, candidates)

    def narrowed(self, fetch: Callable[[Sql], Sequence[tuple[Any, ...]]]) -> Search:
        """The same among the few that it can be, if they are few. `fetch` runs a statement.

        PostgreSQL cannot know whether they are: it has no statistics of a key's values, nor of stale runs beside them.
        """
        if self.candidates is None:
            return self
        text, given = self.candidates
        found = fetch(Sql(f"{text} LIMIT {_FEW + 1}", given))
        if len(found) > _FEW:
            return self._replace(candidates=None)
        among = Sql("runs.run_uuid = ANY(%s)", ([run_id for (run_id,) in found],))
        return self._replace(where=every([among, self.where]), candidates=None)

    @property
    def total(self) -> Sql:
        """How many there are."""
        found = self._found
        return Sql(f"SELECT count(*) FROM runs WHERE {found.text}", found.given)  # noqa: S608 - parameters

    def page(
        self, columns: str, fetch: Callable[[Sql], Sequence[_Row]], most: int, offset: int
    ) -> Sequence[_Row]:
        """At most so many of their rows, without those that come before. `fetch` runs a statement."""
        if self.leading and most + offset <= _EARLY:
            found = fetch(self._page(columns, self.leading, most, offset))
            if len(found) == most:
                return found
        return fetch(self._page(columns, self.order, most, offset))

    def _page(self, columns: str, order: Ordering, most: int, offset: int) -> Sql:
        found = self._found
        text = f"""
            SELECT {columns} FROM runs {order.joins.text} WHERE {found.text} AND {order.where}
            ORDER BY {order.terms} LIMIT %s OFFSET %s
        """  # noqa: S608 - what was given is in parameters
        return Sql(text, (*order.joins.given, *found.given, most, offset))

    @property
    def _found(self) -> Sql:
        return every(
            [
                _among("runs.experiment_id", self.experiments),
                _among("runs.lifecycle_stage", self.stages),
                self.where,
            ]
        )


def _among(column: str, values: Sequence[Any]) -> Sql:
    """Of one value an index may give the rows in their order."""
    if len(values) == 1:
        return Sql(f"{column} = %s", (values[0],))
    return Sql(f"{column} = ANY(%s)", (list(values),))
