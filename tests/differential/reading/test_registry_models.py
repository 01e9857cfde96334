"""Models: each as MLflow tells it, and what each comparison finds, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from tests.differential.cases import Case
from tests.differential.reading.asks import GET_MODEL, SEARCH_MODELS, get
from tests.differential.reading.comparing import Reading
from tests.differential.reading.registry_rows import (
    BARE,
    IS_PROMPT,
    NAMES,
    ODD,
    STAGED,
    UNKNOWN_NAME,
)
from tests.differential.reading.rows import ODD_KEYS

_NAMED = "name ILIKE 'reading%'"
_PATTERNS = (
    "'reading%'", "'READING%'", "'%'", "''", "'_eading-staged'", "'%100\\%%'", "'%\\\\%'", "'%\\'", "'%\U0001f600%'", "'%ключ%'", "'%КЛЮЧ%'",
    "\"%it's%\"", "'%\"so\"%'", "'%\\_under'", "'%_under'", "'%s'",
)  # fmt: skip
_TEXTS = ("'plain'", "'Plain'", "''", "' '", "'100%'", "'back\\slash'", "\"it's\"", "'new\nline'", "'ключ'", "'\U0001f600'", "'%s'", "'odd 1'", "'red'", "'r_d'")  # fmt: skip

NAMES_FOUND = [
    *(f"name {by} '{name}'" for by in ("=", "!=") for name in (STAGED, *ODD) if "'" not in name),
    *(f"{_NAMED} AND {key} {by} {text}" for key in ("name", "attributes.name", "attribute.name") for by in ("LIKE", "ILIKE", "like") for text in _PATTERNS),
    *(f"name {by} {some}" for by in ("IN", "in", "NOT IN") for some in (f"('{STAGED}', '{BARE}')", f"('{UNKNOWN_NAME}')", "()", f"({STAGED})", f"('{STAGED}',)", f"'{STAGED}'", "(1)")),
]  # fmt: skip
TAGS = [
    *(f"{_NAMED} AND tags.{key} {by} {text}" for key in ("text", "colour") for by in ("=", "!=", "LIKE", "ILIKE", "ilike") for text in _TEXTS),
    *(f"tags.{quote}{key}{quote} = 'odd 0'" for key in ODD_KEYS for quote in ("`", '"', "")),
    "tags.text = 'plain' AND tags.colour = 'red'", "tag.colour = 'red' AND tags.colour != 'green'", "tags.colour = 'red' AND tags.colour = 'green'", "Tags.colour = 'red'",
    "tags.colour LIKE 'r%' AND tags.text LIKE '%' AND tags.colour ILIKE '%D' AND name != 'x'", "tags.none != 'x'",
]  # fmt: skip
PROMPTS = [
    *(f"tags.`{IS_PROMPT}` {by} '{value}'" for by in ("=", "!=", "LIKE", "ILIKE") for value in ("true", "True", "TRUE", "false", "False", "", "x")),
    *(f"tags.`{IS_PROMPT}` = '{one}' AND tags.`{IS_PROMPT}` = '{other}'" for one in ("true", "false", "True") for other in ("true", "false", "True")),
    f"tags.`{IS_PROMPT}` = 'true' AND tags.colour = 'red'", f"tags.colour LIKE '%' AND tags.`{IS_PROMPT}` = 'false'", f"{_NAMED} AND tags.`{IS_PROMPT}` != 'false'",
]  # fmt: skip
WRONG = [
    "x", "name", "name =", "name = x", "name = 1", "name IS NULL", "unknown = 'x'", "attributes.unknown = 'x'", "metrics.a > 1", "params.a = '1'", "name > 'a'",
    "tags.a > '1'", "tags.a = 1", "tags.a IS NULL", "tags.a IN ('x')", "creation_timestamp > 1", "last_updated_timestamp = 1", "name = 'a' OR name = 'b'", "(name = 'a')", "name = 'a' AND",
    "name = 'a'; x", "name = ('a')", "workspace = 'default'", "\0", "name = '\0'", "name = ''''", " ", "\n", "name = '" + "x" * 10_000 + "'", "name LIKE ('a')", f"tags.`{IS_PROMPT}` > 'true'",
    f"tags.`{IS_PROMPT}` IN ('true')",
]  # fmt: skip
_KEYS = (
    "name", "timestamp", "last_updated_timestamp", "creation_timestamp", "attributes.name", "attribute.timestamp", "Name", "tags.a", "description", "unknown", "`name`", '"name"',
    "", " ", "\0", "name, timestamp",
)  # fmt: skip


def _found(filters: Iterable[str], **more: object) -> Iterator[Case]:
    for each in filters:
        yield replace(get(SEARCH_MODELS, filter=each, max_results=100, **more), name=each[:200])


def test_every_model_is_told_as_mlflow_tells_it(reading: Reading) -> None:
    reading.compare_native(get(GET_MODEL, name=name) for name in NAMES)


def test_a_model_that_is_named_otherwise_is_found_as_mlflow_finds_it(reading: Reading) -> None:
    odd = (
        UNKNOWN_NAME, STAGED.upper(), f" {STAGED}", f"{STAGED} ", STAGED[:-1], "reading%", "%", "'", '"', "\\", "\U0001f600", "x" * 300, ".", "..", "a/b", "a:b", "/", " ", "reading-staged\n",
    )  # fmt: skip
    reading.compare(get(GET_MODEL, name=name) for name in odd)


@pytest.mark.parametrize(
    "filters",
    [NAMES_FOUND, TAGS, PROMPTS, WRONG],
    ids=["names", "tags", "prompts", "wrong"],
)
def test_every_filter_finds_the_same_models(reading: Reading, filters: list[str]) -> None:
    reading.compare(_found(filters))


@pytest.mark.parametrize(
    "kind",
    [_NAMED, f"name = '{STAGED}'", f"name IN ('{STAGED}')", "tags.text = 'plain'", f"tags.`{IS_PROMPT}` = 'true'"],
)  # fmt: skip
def test_every_kind_of_filter_is_the_lanes_own(reading: Reading, kind: str) -> None:
    for pair in reading.compare_native(_found([kind])):
        assert pair.tells_who_answered


def test_every_order_is_the_same(reading: Reading) -> None:
    terms = [f"{key}{end}" for key in _KEYS for end in ("", " ASC", " DESC", " desc", " UP")]
    several = [["timestamp", "name DESC"], ["timestamp DESC", "last_updated_timestamp"], ["name", "name DESC"], ["name", "x"], []]  # fmt: skip
    for order in [*([term] for term in terms), *several]:
        reading.compare(_found([_NAMED], order_by=order))


def test_a_search_without_a_filter_finds_models_alone(reading: Reading) -> None:
    reading.compare_native([get(SEARCH_MODELS, max_results=1000), get(SEARCH_MODELS, filter="")])
    (pair,) = reading.compare([get(SEARCH_MODELS)])
    assert not pair.is_native  # MLflow reads the body then
