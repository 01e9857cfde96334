"""model-versions/get and search, and registered-models/alias."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from mlflow.entities.model_registry.model_version_stages import ALL_STAGES
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchModelVersionUtils

from registry.lane.model_json import KEPT, version_json
from registry.lane.searching import (
    FIELDS,
    STRING_COMPARATORS,
    Tags,
    must_be_one_of,
    order,
    where,
)
from registry.lane.seeing import (
    MAY_READ,
    MODEL_TYPE,
    VERSION_TYPE,
    known,
    name_of,
    rights_of,
    sight,
)
from studio.accounts.permissions import WORKSPACE
from studio.lane import told, wires
from studio.lane.asked import Asked, fields, needed, number_of, offset_of, text, token_for, whole
from studio.lane.asking import Asker, Done, Elsewhere
from studio.lane.seeing import judged, sees
from studio.lane.statements import WHO, asker, statement
from studio.lib.errors import Invalid
from studio.lib.sql import Sql, compared

_MOST = 200_000  # as MLflow's store and proto have it
_LARGEST = 2**31  # and larger by one than a version's number can be
_TAGS = Tags("model_version_tags", "t.name = v.name AND t.version = v.version", "t.name = v.name")
_STAGES = ", ".join(f"'{stage}'" for stage in ALL_STAGES)
# The number of the version that is meant: by itself, by an alias, or as the latest.
_BY_NUMBER = "%(wanted)s::int8"
_BY_ALIAS = f"""(SELECT l.version FROM registered_model_aliases l
    WHERE l.workspace = '{WORKSPACE}' AND l.name = %(name)s AND l.alias = %(wanted)s)"""  # noqa: S608
_LATEST = f"""(SELECT max(s.version) FROM model_versions s
    WHERE s.workspace = '{WORKSPACE}' AND s.name = %(name)s AND s.current_stage IN ({_STAGES}))"""  # noqa: S608
_COLUMNS = {
    "name": "v.name",
    "version_number": "v.version",
    "creation_timestamp": "v.creation_time",
    "last_updated_timestamp": "v.last_updated_time",
}
_USUAL_ORDER = [("v.last_updated_time", False), ("v.name", True), ("v.version", False)]
_NUMBER_COMPARATORS = ("=", "!=", "<", "<=", ">", ">=")
_TEXTS = {"name": "v.name", "run_id": "v.run_id", "source_path": "v.source"}


class One(NamedTuple):
    """A version of the model with this name. `number`: SQL that makes its number of what is wanted."""

    name: str
    number: str
    wanted: int | str

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, Elsewhere and psycopg.Error."""
        given = asker.given | {"name": self.name, "wanted": self.wanted}
        with wires.reader() as reader:
            rows = reader.rows(_one(asker.by_token, self.number), given, again=True)
        return told.one(b"model_version", rows)


def get(asked: Asked) -> One:
    sent = fields(asked, {"name": text, "version": text})
    name, number = name_of(needed(sent, "name")), whole(needed(sent, "version"))
    return One(name, _BY_NUMBER, number)


def get_by_alias(asked: Asked) -> One:
    sent = fields(asked, {"name": text, "alias": text})
    name, alias = name_of(needed(sent, "name")), needed(sent, "alias")
    return One(name, _LATEST if alias.lower() == "latest" else _BY_ALIAS, alias)


@cache
def _one(by_token: bool, number: str) -> bytes:
    found = f"""(SELECT convert_to({version_json("rights.denied", aliases=True)}, 'UTF8')
        FROM registered_models m JOIN model_versions v ON v.workspace = '{WORKSPACE}' AND v.name = m.name
        WHERE m.workspace = '{WORKSPACE}' AND m.name = %(name)s AND v.version = {number} AND v.{KEPT}
        AND {MODEL_TYPE} || '_version' <> ALL (rights.denied) AND {MAY_READ})"""  # noqa: S608
    return statement(rights_of(asker(by_token)), [*WHO, found], "asker a, rights")


class Page(NamedTuple):
    """A page of the versions that are found; those that may not be seen are missing on it."""

    where: Sql
    order: str
    most: int
    offset: int
    selects_run: bool

    def answer(self, asker: Asker) -> Done:
        """Raises Stranger, psycopg.Error, and Elsewhere: versions are chosen by runs that may not be seen."""
        with wires.reader() as reader:
            found = sight(reader, asker)
            if self.selects_run and "run" in found.denied:
                raise Elsewhere
            rows = reader.fetch(self._page)
            names, versions = zip(*rows[: self.most], strict=True) if rows else ((), ())
            given: dict[str, Any] = {"names": list(names), "versions": list(versions)}
            given |= {"denied": found.denied, "username": found.seen.username}
            many = _many(found.everything)
            made = reader.rows(many, given, again=True) if rows else []
        token = token_for(self.offset + self.most) if len(rows) > self.most else None
        return told.rows(found.seen, b"model_versions", made, token)

    @property
    def _page(self) -> Sql:
        page = f"""
            SELECT v.name, v.version FROM model_versions v
            WHERE v.workspace = '{WORKSPACE}' AND v.{KEPT} AND {self.where.text}
            ORDER BY {self.order} LIMIT %s OFFSET %s
        """  # noqa: S608 - what was given is in parameters
        return Sql(page, (*self.where.given, self.most + 1, self.offset))


@cache
def _many(everything: bool) -> bytes:
    what = f"convert_to({version_json('%(denied)s::text[]')}, 'UTF8')"
    source = f"""unnest(%(names)s::text[], %(versions)s::int4[]) WITH ORDINALITY AS page (name, version, place)
        JOIN model_versions v ON v.workspace = '{WORKSPACE}' AND v.name = page.name AND v.version = page.version"""
    if everything:
        return f"SELECT {what} FROM {source} ORDER BY place".encode()  # noqa: S608
    condition = sees(f"{VERSION_TYPE} || '_version' <> ALL (rights.denied)")
    seen = f"{judged(source, VERSION_TYPE, 'v.name')} WHERE {condition} ORDER BY place"
    return statement(known("%(username)s"), [what], seen)


def search(asked: Asked) -> Page:
    sent = fields(asked, FIELDS)
    try:
        parsed = SearchModelVersionUtils.parse_search_filter(sent.get("filter", ""))
        conditions = where(parsed, _attribute, _TAGS)
        orders = [
            SearchModelVersionUtils.parse_order_by_for_search_model_versions(clause)
            for clause in sent.get("order_by", [])
        ]
        given = [(_COLUMNS[key], ascends) for _, key, ascends in orders]
    except (MlflowException, Invalid, ValueError, KeyError):
        raise Elsewhere from None
    usual = _USUAL_ORDER[1:] if given else _USUAL_ORDER
    return Page(
        conditions,
        order(given, usual),
        number_of(sent, _MOST, _MOST),
        offset_of(sent),
        any((part["type"], part["key"]) == ("attribute", "run_id") for part in parsed),
    )


def _attribute(key: str, comparator: str, value: Any) -> Sql:
    """As `_get_search_model_versions_filter_clauses` of MLflow's store."""
    if key == "version_number":
        must_be_one_of(comparator, _NUMBER_COMPARATORS)
        if isinstance(value, float | tuple) or not -_LARGEST <= int(value) < _LARGEST:
            raise Elsewhere
        return compared("v.version", comparator, int(value))
    lists = () if key == "source_path" else ("IN", "NOT IN")
    must_be_one_of(comparator, [*STRING_COMPARATORS, *lists])
    must_be_one_of(key, _TEXTS)
    return compared(_TEXTS[key], comparator, value)
