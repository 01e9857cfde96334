"""Searches of runs: what each comparison finds, of each kind of key, and in which order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tests.differential.cases import Case
from tests.differential.reading.asks import found, search
from tests.differential.reading.comparing import Reading
from tests.differential.reading.ids import (
    DELETED_RUN,
    FOREIGN_RUN,
    OWN,
    PLAIN_RUN,
    RUN,
    UNKNOWN_RUN,
)
from tests.differential.reading.rows import ODD_KEYS

_NUMBERS = ("0", "0.5", ".25", "-1", "1e16", "0.3333333333333333", "1e308", "9007199254740994", "5e-324", "0.42857142857142855", "-0.0", "1E2", "00")  # fmt: skip
_NUMERIC = ("=", "!=", "<", "<=", ">", ">=")
_TEXTS = (
    "''", "' '", "'plain'", '"Plain"', "'100%'", "'under_score'", "'back\\slash'", "'back\\\\slash'", "\"it's\"", "'say \"so\"'",
    "'new\nline'", "'ключ'", "'\U0001f600'", "'%s'", "'e\u0301'", "'\u00e9'", "'3'", "'red'", "'RED'", "'</script>'",
)  # fmt: skip
_PATTERNS = (
    "'%'", "''", "'_'", "'p%'", "'P%'", "'%N'", "'%lain'", "'pl_in'", "'100%'", "'100\\%'", "'100\\\\%'", "'under\\_score'",
    "'under_score'", "'%\\\\%'", "'%\\%'", "'%\\'", "'%\\\\'", "'КЛЮЧ'", "'%ю%'", "'%\n%'", "'\U0001f600'", "'%%'", "'%s'", "\"%'%\"", "'%\"%'",
    "'r_d'", "'r\\_d'",
)  # fmt: skip
_STRING_ATTRIBUTES = ("run_name", "status", "artifact_uri", "user_id", "run_id", "lifecycle_stage", "experiment_id", "run_uuid")  # fmt: skip
_WORDS = ("'FINISHED'", "'finished'", "'somebody'", "''", "'same'", "'run 0'", "'tagged 1'", f"'{RUN}'", f"'{RUN.upper()}'", "'active'", f"'{OWN}'")  # fmt: skip
_LISTS = (f"('{RUN}', '{PLAIN_RUN}')", f"('{RUN}')", f"('{DELETED_RUN}','{FOREIGN_RUN}', '{UNKNOWN_RUN}')", f"('{RUN}',)", "()", "('')", f"'{RUN}'", f'("{RUN}")', f"({RUN})", "('a', 1)", "('a' 'b')")  # fmt: skip

METRICS = [f"metrics.{key} {by} {n}" for key in ("loss", "acc", "third") for by in _NUMERIC for n in _NUMBERS]  # fmt: skip
VALUES = [
    *(f"{kind}.text {by} {text}" for kind in ("params", "tags") for by in ("=", "!=") for text in _TEXTS),
    *(f"{kind} {by} {text}" for kind in ("params.text", "tags.text", "tags.colour") for by in ("LIKE", "ILIKE", "like") for text in _PATTERNS),
    *(f"{kind} {by}" for kind in ("params.depth", "tags.colour", "tags.mlflow.runName", "params.empty", "metrics.loss", "tags.none") for by in ("IS NULL", "IS NOT NULL", "is null", "IS  NOT NULL")),
]  # fmt: skip
ATTRIBUTES = [
    *(f"attributes.{name} {by} {text}" for name in _STRING_ATTRIBUTES for by in ("=", "!=") for text in _WORDS),
    *(f"attributes.{name} {by} {text}" for name in ("run_name", "user_id") for by in ("LIKE", "ILIKE") for text in _PATTERNS),
    *(f"attributes.{name} {by} {text}" for name in ("artifact_uri", "status", "run_id") for by in ("LIKE", "ILIKE") for text in ("'%'", "'%A%'", "'f_n%'", "'%/90000000\\_%'", "'%\\'")),
    *(f"{name} {by} {n}" for name in ("start_time", "end_time", "attributes.start_time", "Created") for by in _NUMERIC for n in ("0", "1003", "2004", "1003.5", "-1", "99999999999999999999", "'1003'")),
    *(f"attributes.{name} {by} {n}" for name in ("run_id", "run_name", "status") for by in ("IN", "NOT IN", "in", "not in") for n in (*_LISTS, "('same', 'FINISHED')")),
    "`Run name` = 'same'", "attributes.`run name` = 'same'", "attributes.\"Run Name\" LIKE '%same%'", "run_name = 'same'", "attr.status = 'FINISHED'",
    "run.status = 'FINISHED'", "attribute.run_name = 'tagged 1'",
]  # fmt: skip
DATASETS = [
    *(f"datasets.{name} {by} {text}" for name in ("name", "digest", "context") for by in ("=", "!=", "LIKE", "ILIKE")
      for text in ("'train set'", "'d1'", "'D1'", "''", "'%'", "'training'", "'%100\\%'", "'under\\_score'", "'ключ \U0001f600 100%'", "\"eval's 100%\"")),
    *(f"dataset.{name} {by} {given}" for name in ("name", "digest", "context") for by in ("IN", "NOT IN")
      for given in ("('train set', 'under_score')", "('d1')", "('training', 'x')", "('')")),
]  # fmt: skip
_QUOTES = ("`{}`", '"{}"')
ODD = [
    f"{kind}.{quote.format(key)} {rest}"
    for key in (*ODD_KEYS, "it's", "", "a`b", "none")
    for quote in _QUOTES
    for kind, rest in (("metrics", "> 1"), ("params", "= 'odd 1'"), ("tags", "LIKE 'odd%'"), ("tags", "IS NULL"))
]  # fmt: skip
ALIASES = [
    *(f"{kind}.loss < 1" for kind in ("metric", "metrics", "METRICS", "Metric")),
    *(f"{kind}.depth = '1'" for kind in ("param", "params", "parameter", "parameters", "Params")),
    *(f"{kind}.colour = 'red'" for kind in ("tag", "tags", "Tags")),
]
TOGETHER = [
    "metrics.loss < 1 AND metrics.loss > 0", "metrics.loss < 1 and params.depth = '1'", "metrics.loss = 0.5 AND metrics.loss = 0.25",
    "tags.colour = 'red' AND tags.colour = 'green'", "datasets.name = 'train set' AND datasets.context = 'training'",
    "datasets.name = 'train set' AND datasets.name = 'under_score'", "status = 'FINISHED' AND metrics.acc > 0 AND tags.text != ''",
    "run_name = 'same' AND attributes.run_name != 'same'", "params.depth = '1' AND metrics.loss IS NULL", "metrics.loss < 1 AND",
    "AND metrics.loss < 1", "metrics.loss < 1 OR metrics.loss > 1", "NOT metrics.loss < 1", "(metrics.loss < 1)", "metrics.loss < 1 AND (params.depth = '1')",
    "metrics.loss < 1  AND\n\tparams.depth = '1'", "metrics.loss<1 AND params.depth='1'", "metrics.loss < 1;", "metrics.loss < 1; metrics.loss < 2",
    "metrics.loss < 1 -- AND params.depth = '1'", "metrics.loss < 1 /* x */ AND params.depth = '1'", "tags.text = 'a AND b'", "tags.text = 'a' AND tags.text = 'AND'",
]  # fmt: skip
WRONG = [
    "x", "=", "metrics", "metrics.loss", "metrics.loss <", "< 1", "loss < 1", "metrics.loss < 'x'", "metrics.loss < '1'", "metrics.loss < NaN", "metrics.loss = Infinity",
    "metrics.loss LIKE '1'", "metrics.loss IN (1)", "metrics.loss < -", "metrics.loss < 1e999", "metrics.loss < " + "9" * 400, "metrics.loss < " + "9" * 5000,
    "params.depth = 1", "params.depth < '1'", "params.depth = x", "params.depth IN ('1')", "tags.colour = 'red", "tags.colour = red\"", "tags.colour == 'red'", "tags.colour <> 'red'",
    "attributes.unknown = '1'", "unknown.x = '1'", "attributes.start_time = 'x'", "attributes.start_time LIKE '1'", "attributes.start_time IN (1)",
    "datasets.unknown = '1'", "datasets.name < '1'", "datasets.name = 1", "datasets.name IS NULL", "attributes.status IS NULL", "start_time IS NULL", "run_name IS NULL",
    "metrics.loss = 1 = 2", "metrics.a.b < 1", "metrics. loss < 1", "metrics.loss ! = 1", "'metrics'.loss < 1", "metrics.'loss' < 1", "\0", "tags.text = '\0'",
    "tags.text = 'a\\'", "\U0001f600", "metrics.loss < 1 AND x", "tags.colour LIKE red", "tags.colour NOT LIKE 'red'", "tags.colour IS 'red'", "tags.colour IS NOT 'red'",
    "params.depth BETWEEN '1' AND '2'", "select 1", "metrics.loss < 1 UNION SELECT 1", "tags.colour = ''''", "tags.colour = 'it''s'", "  ", "\n",
]  # fmt: skip


# Of the long lists each third: they are products, most of whose sizes have no factor three, so that all parts come.
@pytest.mark.parametrize(
    "filters",
    [METRICS[::3], VALUES[::3], ATTRIBUTES[::3], DATASETS[::2], ODD, ALIASES, TOGETHER, WRONG],
    ids=["metrics", "values", "attributes", "datasets", "odd keys", "aliases", "together", "wrong"],
)
def test_every_filter_finds_the_same_runs(reading: Reading, filters: list[str]) -> None:
    reading.compare(map(found, filters))


@pytest.mark.parametrize("kind", ["metrics.loss < 1", "params.depth = '1'", "tags.colour LIKE 'r%'", "status = 'FINISHED'", "run_name != 'x'", "datasets.name = 'train set'", f"run_id IN ('{RUN}')", "tags.colour IS NOT NULL"])  # fmt: skip
def test_every_kind_of_filter_is_the_lanes_own(reading: Reading, kind: str) -> None:
    (pair,) = reading.compare_native([found(kind)])
    assert pair.tells_who_answered


def test_long_filters_are_answered_as_mlflow_answers(reading: Reading) -> None:
    long = [
        " AND ".join(["metrics.loss < 1"] * count) for count in (2, 20, 100)
    ] + [f"tags.text = '{'x' * 100_000}'", f"tags.text LIKE '{'%x' * 500}'", f"metrics.`{'x' * 100_000}` < 1", "(" * 2000,
         f"run_id IN ({', '.join(repr(RUN) for _ in range(3000))})", " " * 100_000]  # fmt: skip
    reading.compare(replace(found(each), name=each[:50]) for each in long)


_TERMS = (
    "metrics.loss", "metrics.acc", "metrics.third", "metrics.none", "metrics.`a b`", "params.depth", "params.text", "params.empty", "tags.colour", "tags.text",
    "tags.mlflow.runName", "tags.none", "attributes.start_time", "start_time", "end_time", "status", "run_name", "attributes.run_name", "run_id", "run_uuid", "user_id",
    "artifact_uri", "Created", "created", "experiment_id", "lifecycle_stage", "`Run name`", "run name", "params.ключ", 'tags."100%"', "tags.`back\\slash`", "metrics.\"q'u\"",
)  # fmt: skip
_WRONG_TERMS = (
    "", " ", "x", "metrics", "metrics.", "metrics.loss UP", "metrics.loss ASC DESC", "metrics.loss asc", "metrics.loss DeSc", "metrics.loss  DESC", " metrics.loss DESC ",
    "metrics.loss DESC NULLS LAST", "datasets.name", "unknown.x", "attributes.unknown", "metrics.loss, metrics.acc", "metrics.`loss", "metrics.\"loss", "'", "metrics.loss;",
    "metrics.loss -- x", "\0", "metrics.a\0b", "\U0001f600", "metrics.\U0001f600", "metrics.100%", "params.%s", "metrics.loss\nDESC", "DESC", "metrics.desc", "tags.x DESC ASC", "1",
)  # fmt: skip


def ordered(*terms: str, **fields: object) -> Case:
    case = search(order_by=list(terms), run_view_type="ALL", **fields)
    return replace(case, name=", ".join(terms)[:200])


def test_every_order_is_the_same(reading: Reading) -> None:
    ends = ("", " ASC", " DESC")
    reading.compare(ordered(f"{term}{end}") for term in _TERMS for end in ends)


@pytest.mark.parametrize("kind", ["metrics.loss", "params.depth DESC", "tags.colour", "start_time", "status DESC", "run_id"])  # fmt: skip
def test_every_kind_of_order_is_the_lanes_own(reading: Reading, kind: str) -> None:
    (pair,) = reading.compare_native([ordered(kind)])
    assert pair.tells_who_answered


def test_orders_by_two_and_three_are_the_same(reading: Reading) -> None:
    few = (
        "metrics.loss",
        "metrics.acc DESC",
        "params.depth",
        "tags.colour DESC",
        "start_time",
        "status DESC",
    )
    two = [pair for pair in product(few, repeat=2) if pair[0] != pair[1]]
    three = [(a, b, c) for (a, b), c in zip(two, few * len(two), strict=False) if c not in (a, b)]
    reading.compare(ordered(*terms) for terms in (*two, *three))


def test_orders_that_are_none_are_refused_as_mlflow_refuses(reading: Reading) -> None:
    reading.compare(ordered(term) for term in _WRONG_TERMS)
    reading.compare(ordered(*terms) for terms in (("metrics.loss", "x"), ("metrics.loss", "metrics.loss"), ("start_time", "Created DESC"), ("metrics.a",) * 60, ("metrics.loss", "metric.loss DESC")))  # fmt: skip


@pytest.mark.parametrize("view", ["ACTIVE_ONLY", "DELETED_ONLY", "ALL", "all", "", "UNKNOWN", 1, 2, 3, 0, 4, "1", None, True, 1.5, []])  # fmt: skip
def test_every_view_has_the_same_runs(reading: Reading, view: object) -> None:
    reading.compare(
        [search(run_view_type=view), search(run_view_type=view, filter="metrics.loss < 1")]
    )


def test_every_kind_of_view_is_the_lanes_own(reading: Reading) -> None:
    pairs = reading.compare_native(search(run_view_type=v) for v in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"))  # fmt: skip
    counts = [len(pair.content["runs"]) for pair in pairs]
    assert counts[0] + counts[1] == counts[2]
