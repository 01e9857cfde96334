"""experiments/get, get-by-name and search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchExperimentsUtils

from studio.accounts.permissions import WORKSPACE, Level
from studio.lane import told, wires
from studio.lane.asked import (
    Asked,
    fields,
    needed,
    number_of,
    offset_of,
    one_of,
    text,
    texts,
    token_for,
    whole,
)
from studio.lane.asking import Asker, Done, Elsewhere
from studio.lane.json_sql import listed, quoted, record
from studio.lane.statements import WHO, asker, statement
from studio.lane.wires import Reader
from studio.lib.errors import Invalid
from studio.lib.sql import Sql, compared, every
from tracking.lane.reading.named import STAGES, experiment_id
from tracking.lane.reading.seeing import experiments_seen

_MOST = 50_000
_TAG = record({"key": quoted("t.key")}, {"value": quoted("t.value")})
_EXPERIMENT = record(
    {"experiment_id": quoted("e.experiment_id"), "name": quoted("e.name")},
    {
        "artifact_location": quoted("e.artifact_location"),
        "lifecycle_stage": quoted("e.lifecycle_stage"),
        "creation_time": "nullif(e.creation_time, 0)",
        "last_update_time": "nullif(e.last_update_time, 0)",
        "workspace": quoted("e.workspace"),
        "tags": listed(_TAG, "experiment_tags t WHERE t.experiment_id = e.experiment_id"),
    },
)
_JSON = f"convert_to({_EXPERIMENT}, 'UTF8')"
_SEARCH = {
    "view_type": one_of(*STAGES),
    "max_results": whole,
    "order_by": texts,
    "filter": text,
    "page_token": text,
}
_STRING_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")
_NUMBER_COMPARATORS = ("=", "!=", "<", "<=", ">", ">=")
_ID_COMPARATORS = ("=", "!=", "IN", "NOT IN")


class One(NamedTuple):
    """The experiment with this id or, where there is none, this name."""

    id: int | None
    name: str | None

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        column, wanted = ("name", self.name) if self.id is None else ("experiment_id", self.id)
        with wires.reader() as reader:
            given = asker.given | {"wanted": wanted}
            rows = reader.rows(_one(asker.by_token, column), given, again=True)
        return told.one(b"experiment", rows)


def get(asked: Asked) -> One:
    return One(experiment_id(needed(fields(asked, {"experiment_id": text}), "experiment_id")), None)


def get_by_name(asked: Asked) -> One:
    return One(None, needed(fields(asked, {"experiment_name": text}), "experiment_name"))


@cache
def _one(by_token: bool, column: str) -> bytes:
    found = f"""(SELECT {_JSON} FROM experiments e
        WHERE e.{column} = %(wanted)s AND e.workspace = '{WORKSPACE}' AND (a.is_superuser
            OR studio_mlflow_level(a.username, 'experiment', e.experiment_id::text, '') >= {Level.READ:d}))"""  # noqa: S608
    return statement({"asker": asker(by_token)}, [*WHO, found], "asker a")


_MANY = f"""
    SELECT {_JSON} FROM unnest(%(experiments)s::int4[]) WITH ORDINALITY AS page (experiment_id, place)
    JOIN experiments e USING (experiment_id) ORDER BY place
""".encode()  # noqa: S608 - constants


class Page(NamedTuple):
    """A page of the experiments that are found, without those that may not be seen."""

    stages: list[str]
    where: Sql
    order: str
    most: int
    offset: int

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger and psycopg.Error."""
        with wires.reader() as reader:
            sight = experiments_seen(reader, asker, [])
            if sight.everything:
                found = self._found(reader, self.most + 1)
                chosen = found[: self.most]
                token = self._token(self.most) if len(found) > self.most else None
            else:
                found = self._found(reader, None)
                seen = set(experiments_seen(reader, asker, found).experiments)
                chosen, token = self._chosen(found, seen)
            made = reader.rows(_MANY, {"experiments": chosen}, again=True) if chosen else []
        return told.rows(sight.seen, b"experiments", made, token)

    def _found(self, reader: Reader, most: int | None) -> list[int]:
        """Ids in their order, from the offset on."""
        statement = f"""
            SELECT experiment_id FROM experiments
            WHERE workspace = '{WORKSPACE}' AND lifecycle_stage = ANY(%s) AND {self.where.text}
            ORDER BY {self.order} LIMIT %s OFFSET %s
        """  # noqa: S608 - what was given is in parameters
        given = (self.stages, *self.where.given, most, self.offset)
        return [found for (found,) in reader.rows(statement.encode(), given)]

    def _chosen(self, found: Sequence[int], seen: set[int]) -> tuple[list[int], bytes | None]:
        """Those on the page, and the token of the next one, as MLflow's `filter_search_experiments` comes to them.

        What a page token leaves out is counted among all experiments. Where the first `most` of them are not all
        to be seen, MLflow goes on until the page is full, and has a token then whether or not anything follows.
        """
        places = [place for place, each in enumerate(found) if each in seen][: self.most]
        chosen = [found[place] for place in places]
        if len(found) <= self.most:
            return chosen, None
        if len(chosen) < self.most:
            return chosen, b""
        return chosen, self._token(places[-1] + 1)

    def _token(self, count: int) -> bytes:
        return token_for(self.offset + count)


def search(asked: Asked) -> Page:
    sent = fields(asked, _SEARCH)
    try:
        parsed = SearchExperimentsUtils.parse_search_filter(sent.get("filter", ""))
        pieces = [_condition(**part) for part in parsed]
        order = _order(sent.get("order_by") or ["creation_time DESC", "experiment_id ASC"])
    except (MlflowException, Invalid, ValueError):
        raise Elsewhere from None
    return Page(
        STAGES[sent.get("view_type", "ACTIVE_ONLY")],
        every(pieces),
        order,
        number_of(sent, _MOST),
        offset_of(sent),
    )


def _condition(type: str, key: str, comparator: str, value: Any) -> Sql:  # noqa: A002 - MLflow's word
    """As `_get_search_experiments_filter_clauses` of MLflow's store. Raises Elsewhere for what that refuses."""
    if type == "tag":
        return _of_tag(key, comparator, value)
    if key == "experiment_id":
        _must_be_one_of(comparator, _ID_COMPARATORS)
        ids = [
            experiment_id(str(each)) for each in (value if isinstance(value, tuple) else [value])
        ]
        return compared("experiment_id", comparator, ids if "IN" in comparator else ids[0])
    if key == "name":
        _must_be_one_of(comparator, _STRING_COMPARATORS)
        return compared("name", comparator, value)
    _must_be_one_of(comparator, _NUMBER_COMPARATORS)
    if isinstance(value, float):
        raise Elsewhere
    return compared(key, comparator, int(value))


def _of_tag(key: str, comparator: str, value: Any) -> Sql:
    row = "EXISTS (SELECT FROM experiment_tags t WHERE t.experiment_id = experiments.experiment_id AND t.key = %s{})"
    if comparator in ("IS NULL", "IS NOT NULL"):
        return Sql(("NOT " if comparator == "IS NULL" else "") + row.format(""), (key,))
    _must_be_one_of(comparator, _STRING_COMPARATORS)
    holds = compared("t.value", comparator, value)
    return Sql(row.format(f" AND {holds.text}"), (key, *holds.given))


def _order(given: list[str]) -> str:
    terms = []
    for clause in given:
        _, key, ascending = SearchExperimentsUtils.parse_order_by_for_search_experiments(clause)
        terms += [(key, "ASC" if ascending else "DESC")]
    if "experiment_id" not in dict(terms):
        terms += [("experiment_id", "DESC")]
    if any(key not in SearchExperimentsUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS for key, _ in terms):
        raise Elsewhere  # it stands in the SQL as it is
    return ", ".join(f"{key} {direction}" for key, direction in terms)


def _must_be_one_of(comparator: str, known: Sequence[str]) -> None:
    if comparator not in known:
        raise Elsewhere
