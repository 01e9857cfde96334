"""Versions: each as MLflow tells it, and what each comparison finds, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from tests.differential.cases import Case
from tests.differential.reading import registry_rows
from tests.differential.reading.asks import BY_ALIAS, GET_VERSION, SEARCH_VERSIONS, get
from tests.differential.reading.comparing import Reading
from tests.differential.reading.ids import RUN, UNKNOWN_RUN
from tests.differential.reading.registry_rows import (
    BARE,
    GONE,
    IS_PROMPT,
    MARKED,
    NAMES,
    ODD,
    PROMPT,
    STAGED,
    UNKNOWN_NAME,
)
from tests.differential.reading.rows import ODD_KEYS

_NAMED = "name ILIKE 'reading%'"
_PATTERNS = ("'reading%'", "'%'", "''", "'_eading-staged'", "'%100\\%%'", "'%\\\\%'", "'%\\'", "'%ключ%'", "\"%it's%\"", "'%\\_under'", "'%a\\%\\_%'", "'models:/m-1'")  # fmt: skip
_TEXTS = ("'plain'", "'Plain'", "''", "'100%'", "'back\\slash'", "\"it's\"", "'new\nline'", "'\U0001f600'", "'odd 1'", "'red'", "'r_d'")  # fmt: skip
_NUMBERS = ("1", "2", "0", "-1", "1.5", "'2'", "'x'", "' 2 '", "'1_0'", "9" * 12, "9" * 30, "(1)", "(1, 2)", "x", "''")  # fmt: skip
_RUNS = (f"'{RUN}'", "''", f"'{UNKNOWN_RUN}'", f"'{RUN.upper()}'", "'%'", f"'{RUN[:8]}%'")

ATTRIBUTES = [
    *(f"name {by} '{name}'" for by in ("=", "!=") for name in (STAGED, *ODD) if "'" not in name),
    *(f"{_NAMED} AND {key} {by} {text}" for key in ("name", "attributes.name", "source_path") for by in ("LIKE", "ILIKE", "like", "=") for text in _PATTERNS),
    *(f"{_NAMED} AND {key} {by} {n}" for key in ("version_number", "attribute.version_number") for by in ("=", "!=", "<", "<=", ">", ">=", "IN", "LIKE") for n in _NUMBERS),
    *(f"{key} {by} {text}" for key in ("run_id", "attributes.run_id") for by in ("=", "!=", "LIKE", "ILIKE") for text in _RUNS),
    *(f"{key} {by} {some}" for key in ("name", "run_id", "source_path") for by in ("IN", "in", "NOT IN") for some in (f"('{STAGED}', '{BARE}')", f"('{RUN}', '')", f"('{UNKNOWN_NAME}')", "()", f"'{STAGED}'")),
]  # fmt: skip
TAGS = [
    *(f"{_NAMED} AND tags.{key} {by} {text}" for key in ("text", "colour") for by in ("=", "!=", "LIKE", "ILIKE") for text in _TEXTS),
    *(f"tags.{quote}{key}{quote} = 'odd 0'" for key in ODD_KEYS for quote in ("`", '"', "")),
    "tags.text = 'plain' AND tags.colour = 'red'", "tag.colour = 'red' AND tags.colour != 'green'", "tags.colour = 'red' AND tags.colour = 'green'",
    "tags.colour LIKE 'r%' AND tags.text LIKE '%' AND version_number > 1 AND name != 'x'", "tags.none != 'x'",
]  # fmt: skip
PROMPTS = [
    *(f"tags.`{IS_PROMPT}` {by} '{value}'" for by in ("=", "!=", "LIKE") for value in ("true", "True", "false", "False", "", "x")),
    *(f"name = '{name}'" for name in (PROMPT, MARKED, GONE, "reading-prompt-2", "reading-prompt-3", "reading-prompt-4")),
    *(f"name = '{name}' AND tags.`{IS_PROMPT}` = 'true'" for name in (PROMPT, MARKED, "reading-prompt-2")),
    f"tags.`{IS_PROMPT}` = 'true' AND tags.`{IS_PROMPT}` = 'false'", f"tags.colour LIKE '%' AND tags.`{IS_PROMPT}` = 'false'",
]  # fmt: skip
WRONG = [
    "x", "name", "name =", "name = x", "name = 1", "name IS NULL", "unknown = 'x'", "version = 1", "metrics.a > 1", "name > 'a'", "tags.a > '1'", "tags.a = 1", "tags.a IN ('x')",
    "creation_timestamp > 1", "name = 'a' OR name = 'b'", "(name = 'a')", "name = 'a' AND", "name = 'a'; x", "name = ('a')", "current_stage = 'None'", "\0", "run_id = '\0'", " ", "\n",
    "name = '" + "x" * 10_000 + "'",
]  # fmt: skip
_KEYS = (
    "name", "version_number", "creation_timestamp", "last_updated_timestamp", "timestamp", "attributes.name", "attribute.version_number", "Name", "tags.name", "tags.a", "metrics.name", "run_id",
    "`name`", '"name"', "", " ", "\0", "name, version_number",
)  # fmt: skip


def _found(filters: Iterable[str], **more: object) -> Iterator[Case]:
    for each in filters:
        yield replace(get(SEARCH_VERSIONS, filter=each, max_results=300, **more), name=each[:200])


def test_every_version_is_told_as_mlflow_tells_it(reading: Reading) -> None:
    rows = list(registry_rows.versions())
    kept = [row for row in rows if row["current_stage"] != "Deleted_Internal"]
    assert 0 < len(kept) < len(rows)
    reading.compare_native(get(GET_VERSION, name=row["name"], version=row["version"]) for row in kept)  # fmt: skip
    reading.compare(get(GET_VERSION, name=row["name"], version=row["version"]) for row in rows if row not in kept)  # fmt: skip


def test_every_alias_leads_to_the_same_version(reading: Reading) -> None:
    named = [(row["name"], row["alias"]) for row in registry_rows.aliases()]
    pairs = reading.compare(get(BY_ALIAS, name=name, alias=alias) for name, alias in named)
    assert all(pair.is_native == (pair.reference.status == 200) for pair in pairs)
    assert len([pair for pair in pairs if pair.is_native]) > len(pairs) / 2
    odd = ("first ", "FIRST", "unknown", "", " ", "a b", "first\n", "%", "'", "v1", "1", "x" * 300, "\U0001f600", "nowhere")  # fmt: skip
    reading.compare(get(BY_ALIAS, name=STAGED, alias=alias) for alias in odd)
    reading.compare(
        get(BY_ALIAS, name=name, alias="first") for name in (BARE, UNKNOWN_NAME, "a/b", " ")
    )


@pytest.mark.parametrize("alias", ["latest", "Latest", "LATEST"])
def test_the_latest_is_the_same_version(reading: Reading, alias: str) -> None:
    pairs = reading.compare(get(BY_ALIAS, name=name, alias=alias) for name in NAMES)
    assert all(pair.is_native == (pair.reference.status == 200) for pair in pairs)


def test_a_version_that_is_named_otherwise_is_found_as_mlflow_finds_it(reading: Reading) -> None:
    odd = ("0", "-1", "99", "01", " 1", "1 ", "+1", "1.0", "1_0", "x", "", "\u0661", "latest", "2147483647", "2147483648", "9" * 19, "9" * 30)  # fmt: skip
    reading.compare(get(GET_VERSION, name=STAGED, version=version) for version in odd)
    names = (UNKNOWN_NAME, f" {STAGED}", STAGED.upper(), "%", "'", "a/b", "a:b", "..", " ", "\U0001f600")  # fmt: skip
    reading.compare(get(GET_VERSION, name=name, version="1") for name in names)


@pytest.mark.parametrize(
    "filters",
    [ATTRIBUTES, TAGS, PROMPTS, WRONG],
    ids=["attributes", "tags", "prompts", "wrong"],
)
def test_every_filter_finds_the_same_versions(reading: Reading, filters: list[str]) -> None:
    reading.compare(_found(filters))


@pytest.mark.parametrize(
    "kind",
    [_NAMED, f"name = '{STAGED}'", f"name IN ('{STAGED}')", "version_number > 3", f"run_id = '{RUN}'", "source_path LIKE '%m-1'", "tags.text = 'plain'",
     f"tags.`{IS_PROMPT}` = 'true'"],
)  # fmt: skip
def test_every_kind_of_filter_is_the_lanes_own(reading: Reading, kind: str) -> None:
    for pair in reading.compare_native(_found([kind])):
        assert pair.tells_who_answered


def test_every_order_is_the_same(reading: Reading) -> None:
    terms = [f"{key}{end}" for key in _KEYS for end in ("", " ASC", " DESC", " desc", " UP")]
    several = [["creation_timestamp", "name DESC"], ["version_number", "last_updated_timestamp DESC"], ["name", "name DESC"], ["name", "x"], []]  # fmt: skip
    for order in [*([term] for term in terms), *several]:
        reading.compare(_found([_NAMED], order_by=order))


def test_a_search_without_a_filter_finds_versions_of_models_alone(reading: Reading) -> None:
    reading.compare_native([get(SEARCH_VERSIONS, filter=""), get(SEARCH_VERSIONS, max_results=7)])
