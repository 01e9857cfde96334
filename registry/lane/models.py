"""registered-models/get and search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchModelUtils, SearchUtils

from registry.lane.model_json import model_json
from registry.lane.searching import (
    FIELDS,
    STRING_COMPARATORS,
    Tags,
    must_be_one_of,
    order,
    where,
)
from registry.lane.seeing import MAY_READ, MODEL_TYPE, Sight, known, name_of, rights_of, sight
from studio.accounts.permissions import WORKSPACE
from studio.lane import told, wires
from studio.lane.asked import Asked, fields, needed, number_of, offset_of, text, token_for
from studio.lane.asking import Asker, Done, Elsewhere
from studio.lane.seeing import judged, sees
from studio.lane.statements import WHO, asker, statement
from studio.lib.errors import Invalid
from studio.lib.sql import Sql, compared

_MOST, _USUAL = 1000, 100  # as MLflow's store and proto have them
_TAGS = Tags("registered_model_tags", "t.name = m.name", "t.name = m.name")
_COLUMNS = {
    "name": "m.name",
    "timestamp": "m.last_updated_time",
    "last_updated_timestamp": "m.last_updated_time",
}


class One(NamedTuple):
    """The model with this name."""

    name: str

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        with wires.reader() as reader:
            rows = reader.rows(_one(asker.by_token), asker.given | {"name": self.name}, again=True)
        return told.one(b"registered_model", rows)


def get(asked: Asked) -> One:
    return One(name_of(needed(fields(asked, {"name": text}), "name")))


@cache
def _one(by_token: bool) -> bytes:
    found = f"""(SELECT convert_to({model_json("rights.denied")}, 'UTF8') FROM registered_models m
        WHERE m.workspace = '{WORKSPACE}' AND m.name = %(name)s AND {MAY_READ})"""  # noqa: S608
    return statement(rights_of(asker(by_token)), [*WHO, found], "asker a, rights")


_MANY = f"""
    SELECT convert_to({model_json("%(denied)s::text[]")}, 'UTF8')
    FROM unnest(%(names)s::text[]) WITH ORDINALITY AS page (name, place)
    JOIN registered_models m ON m.workspace = '{WORKSPACE}' AND m.name = page.name ORDER BY place
""".encode()  # noqa: S608 - constants


class _Found(NamedTuple):
    """A model, its place among all that are found, from 1 on, and whether it may be seen."""

    name: str
    place: int
    is_seen: bool


class Page(NamedTuple):
    """A page of the models that are found, without those that may not be seen."""

    where: Sql
    order: str
    most: int
    offset: int

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger and psycopg.Error."""
        with wires.reader() as reader:
            found = sight(reader, asker)
            chosen, token = self._chosen([_Found(*row) for row in reader.fetch(self._page(found))])
            given = {"names": [each.name for each in chosen], "denied": found.denied}
            made = reader.rows(_MANY, given, again=True) if chosen else []
        return told.rows(found.seen, b"registered_models", made, token)

    @property
    def _next(self) -> int:
        """The place after the first page's worth."""
        return self.offset + self.most + 1

    def _page(self, sight: Sight) -> Sql:
        """The models that may be seen, in their order, and in any case the one that follows the first `most`."""
        what = f"m.name, row_number() OVER (ORDER BY {self.order}) AS place"
        source = f"registered_models m WHERE m.workspace = '{WORKSPACE}' AND {self.where.text} ORDER BY {self.order}"
        if sight.everything:
            page = f"SELECT {what}, true FROM {source} LIMIT %s OFFSET %s"  # noqa: S608
            return Sql(page, (*self.where.given, self.most + 1, self.offset))
        steps = known("%s") | {
            "page": f"SELECT {what}, {MODEL_TYPE} AS type FROM {source} OFFSET %s",  # noqa: S608
            "seen": f"SELECT e.name, e.place, {sees()} AS is_seen FROM {judged('page e', 'e.type', 'e.name')}",  # noqa: S608
        }
        rows = "seen WHERE is_seen OR place = %s ORDER BY place LIMIT %s"
        made = statement(steps, ["name", "place", "is_seen"], rows).decode()
        given = (sight.seen.username, *self.where.given, self.offset, self._next, self.most + 1)
        return Sql(made, given)

    def _chosen(self, found: Sequence[_Found]) -> tuple[list[_Found], bytes | None]:
        """Those on the page, and the token of the next one, as MLflow's `filter_search_registered_models` comes to them.

        Where the first `most` are not all to be seen, MLflow goes on until the page is full, and has a token then
        whether or not anything follows. What a token leaves out is counted among all models.
        """
        chosen = [each for each in found if each.is_seen][: self.most]
        if all(each.place != self._next for each in found):
            return chosen, None
        return chosen, token_for(chosen[-1].place) if len(chosen) == self.most else b""


def search(asked: Asked) -> Page:
    sent = fields(asked, FIELDS)
    try:
        parsed = SearchModelUtils.parse_search_filter(sent.get("filter", ""))
        conditions = where(parsed, _of_name, _TAGS)
        orders = [
            SearchUtils.parse_order_by_for_search_registered_models(clause)
            for clause in sent.get("order_by", [])
        ]
    except (MlflowException, Invalid, ValueError):
        raise Elsewhere from None
    return Page(
        conditions,
        order([(_COLUMNS[key], ascends) for key, ascends in orders], [("m.name", True)]),
        number_of(sent, _MOST, _USUAL),
        offset_of(sent),
    )


def _of_name(key: str, comparator: str, value: Any) -> Sql:
    must_be_one_of(key, ["name"])
    must_be_one_of(comparator, [*STRING_COMPARATORS, "IN", "NOT IN"])
    return compared("m.name", comparator, value)
