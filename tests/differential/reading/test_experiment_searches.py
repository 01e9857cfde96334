"""Searches of experiments: what each comparison finds, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from tests.differential.cases import Case
from tests.differential.reading.asks import SEARCH_EXPERIMENTS, get, post
from tests.differential.reading.comparing import Reading
from tests.differential.reading.ids import DELETED, NAMES, OWN, SECOND, UNKNOWN_EXPERIMENT
from tests.differential.reading.rows import ODD_KEYS

_NAMED = "name ILIKE 'reading%'"
_PATTERNS = (
    "'reading%'", "'READING%'", "'%'", "''", "'_eading own'", "'%100\\%%'", "'%\\\\%'", "'%\\'", "'%\U0001f600%'", "'%ключ%'", "'%КЛЮЧ%'", "\"%it's%\"",
    "'%\"second\"%'", "'%\\_x'", "'%s'",
)  # fmt: skip
_TEXTS = ("'plain'", "'Plain'", "''", "' '", "'100%'", "'back\\slash'", "\"it's\"", "'new\nline'", "'ключ'", "'\U0001f600'", "'%s'", "'odd'")  # fmt: skip
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")

NAMES_FOUND = [
    *(f"name {by} '{name}'" for by in ("=", "!=") for name in NAMES.values() if "'" not in name),
    *(f"{_NAMED} AND {key} {by} {text}" for key in ("name", "attributes.name", "attribute.name") for by in ("LIKE", "ILIKE", "like") for text in _PATTERNS),
]  # fmt: skip
NUMBERS = [
    *(f"{_NAMED} AND {key} {by} {n}" for key in ("creation_time", "attributes.last_update_time", "experiment_id") for by in _COMPARISONS
      for n in ("1001", "1999", "0", "-1", "1.5", "9" * 20, "'1001'", str(OWN), f"'{OWN}'")),
    *(f"experiment_id {by} {some}" for by in ("IN", "in", "NOT IN") for some in (f"('{OWN}', '{SECOND}')", f"('{DELETED}')", f"('{UNKNOWN_EXPERIMENT}')", "()", "('x')", f"({OWN})", f"('{OWN}',)")),
]  # fmt: skip
TAGS = [
    *(f"{_NAMED} AND tags.`text {place}` {by} {text}" for place in (0, 2, 3) for by in ("=", "!=", "LIKE", "ILIKE") for text in _TEXTS),
    *(f"{_NAMED} AND tags.{key} {by}" for key in ("`text 1`", "null", "none", "`a b`") for by in ("IS NULL", "IS NOT NULL", "is null")),
    *(f'tags.{quote}{key}{quote} = \'odd\'' for key in ODD_KEYS for quote in ("`", '"', "")),
    "tags.`text 2` = 'plain' AND tags.`text 3` = 'Plain'", "tag.`text 2` = 'plain'", "Tags.`text 2` = 'plain'",
]  # fmt: skip
WRONG = [
    "x", "name", "name =", "name = x", "name = 1", "name IS NULL", "name IN ('a')", "unknown = 'x'", "attributes.unknown = 'x'", "metrics.a > 1", "params.a = '1'",
    "tags.a > '1'", "tags.a = 1", "creation_time = 'x'", "creation_time LIKE '1'", "creation_time IN (1)", "name = 'a' OR name = 'b'", "(name = 'a')", "name = 'a' AND", "name = 'a'; x",
    "lifecycle_stage = 'active'", "artifact_location = 'x'", "workspace = 'default'", "\0", "name = '\0'", "name = ''''", " ", "\n", "name = '" + "x" * 10_000 + "'",
]  # fmt: skip
_KEYS = (
    "name", "experiment_id", "creation_time", "last_update_time", "attributes.name", "attribute.creation_time", "Name", "tags.a", "lifecycle_stage", "metrics.a", "unknown",
    "`name`", '"name"', "", " ", "\0", "name, experiment_id",
)  # fmt: skip


def _both(**fields: object) -> Iterator[Case]:
    yield get(SEARCH_EXPERIMENTS, max_results=50, **fields)
    yield post(SEARCH_EXPERIMENTS, max_results=50, **fields)


def _found(filters: Iterable[str]) -> Iterator[Case]:
    for each in filters:
        case = get(SEARCH_EXPERIMENTS, filter=each, view_type="ALL", max_results=50)
        yield replace(case, name=each[:200])


@pytest.mark.parametrize(
    "filters", [NAMES_FOUND, NUMBERS, TAGS, WRONG], ids=["names", "numbers", "tags", "wrong"]
)
def test_every_filter_finds_the_same_experiments(reading: Reading, filters: list[str]) -> None:
    reading.compare(_found(filters))


@pytest.mark.parametrize("kind", [_NAMED, f"name = '{NAMES[OWN]}'", f"{_NAMED} AND creation_time > 1000", "tags.`text 2` = 'plain'"])  # fmt: skip
def test_every_kind_of_filter_is_the_lanes_own(reading: Reading, kind: str) -> None:
    for pair in reading.compare_native(_both(filter=kind, view_type="ALL")):
        assert pair.tells_who_answered


def test_every_order_is_the_same(reading: Reading) -> None:
    terms = [f"{key}{end}" for key in _KEYS for end in ("", " ASC", " DESC", " desc", " UP")]
    named = {"filter": _NAMED, "view_type": "ALL"}
    reading.compare(case for term in terms for case in _both(order_by=[term], **named))
    several: tuple[list[str], ...] = (["creation_time", "name DESC"], ["creation_time DESC", "last_update_time"], ["name", "name DESC"], ["name", "x"], [])  # fmt: skip
    reading.compare(case for some in several for case in _both(order_by=some, **named))


@pytest.mark.parametrize("view", ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", "all", "", "UNKNOWN", 0, 1, 2, 3, 4, "1", True, 1.5])  # fmt: skip
def test_every_view_has_the_same_experiments(reading: Reading, view: object) -> None:
    reading.compare([*_both(view_type=view, filter=_NAMED), *_both(view_type=view)])
