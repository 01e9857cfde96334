"""What is no filter: the place of the mistake is told, and nothing that is sent does harm."""

from __future__ import annotations

import pytest

from tests.tracking.search_cases import ADMITTED, REFUSED
from tracking.language.grammar import MAX_DEPTH
from tracking.language.mistakes import Unreadable
from tracking.language.reader import MAX_LENGTH, parse
from tracking.language.tree import Comparison, Not, Operand, Or

OPERATORS = {"=", "!=", "LIKE", "ILIKE", "~", "!~", "IN", "NOT IN"}
NUMERIC = {"=", "!=", "<", "<=", ">", ">="}
OPERAND = {
    "metrics.…", "params.…", "tags.…", "dataset.name", "dataset.digest", "dataset.context",
    "start_time", "end_time", "duration", "run_id", "run_name", "status", "user_id", "artifact_uri",
    "min(…)", "max(…)", "first(…)", "last(…)", "count(…)", "NOT", "(",
}  # fmt: skip
# What is written, where it is wrong, what stands there, and what may stand there.
MISTAKES = [
    ("metrics.loss", 12, "", NUMERIC),
    ("metrics.loss <", 14, "", {"a number"}),
    ("metrics.loss < 'x'", 15, "'x'", {"a number"}),
    ("metrics.loss < nan", 15, "nan", {"a number"}),
    ("metrics.loss LIKE 1", 13, "LIKE", NUMERIC),
    ("metrics.loss == 1", 13, "==", NUMERIC),
    ("metrics.loss ~ 'x'", 13, "~", NUMERIC),
    ("params.depth = 8", 15, "8", {"a quoted text"}),
    ("params.depth > '8'", 13, ">", OPERATORS | {"IS NULL", "IS NOT NULL"}),
    ("tags.team NOT LIKE 'x'", 10, "NOT", OPERATORS | {"IS NULL", "IS NOT NULL"}),
    ("status IS NULL", 7, "IS", OPERATORS),
    ("params.depth IN '8'", 16, "'8'", {"("}),
    ("params.depth IN ()", 17, ")", {"a quoted text"}),
    ("params.depth IN (8)", 17, "8", {"a quoted text"}),
    ("params.depth IN ('8' '9')", 21, "'9'", {"a comma", ")"}),
    ("params.depth IN ('8', '9'", 25, "", {"a comma", ")"}),
    ("metrics.a < 1 OR hello", 17, "hello", OPERAND),
    ("metrics.a < 1 OR", 16, "", OPERAND),
    ("attributes.nope = 'x'", 0, "attributes.nope", OPERAND),
    ("metrics.a < 1 | metrics.b < 1", 14, "|", {"AND", "OR", "the end"}),
    ("metrics.a < 1 hello", 14, "hello", {"AND", "OR", "the end"}),
    ("metrics.a < 12abc", 14, "abc", {"AND", "OR", "the end"}),
    ("(metrics.a < 1", 14, "", {"AND", "OR", ")"}),
    ("(metrics.a < 1))", 15, ")", {"AND", "OR", "the end"}),
    ("()", 1, ")", OPERAND),
    ("(metrics.a < 1 AND)", 18, ")", OPERAND),
    ("min(params.x) = 1", 4, "params.x", {"metrics.…"}),
    ("min(min(metrics.x)) = 1", 4, "min", {"metrics.…"}),
    ("avg(metrics.x) = 1", 0, "avg", OPERAND),
    ("mİn(metrics.x) = 1", 0, "mİn", OPERAND),
    ("min(metrics.x) = '1'", 17, "'1'", {"a number"}),
    ("tags.a = 'x' AND tags.b = 'y", 26, "'y", {"'"}),
    ("tags.`a = 'x'", 5, "`a = 'x'", {"`"}),
    ("tags.größe ≥ 'x'", 11, "≥", OPERATORS | {"IS NULL", "IS NOT NULL"}),
    (r"run_id IN ('\x')", 11, r"'\x'", set()),
    ("dataset.name IN ('ok', '\\N{no}')", 23, r"'\N{no}'", set()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "found", "expected"), MISTAKES)
def test_a_mistake_is_told_by_its_place(
    text: str, position: int, found: str, expected: set[str]
) -> None:
    with pytest.raises(Unreadable) as refused:
        parse(text)
    told = refused.value
    assert (told.position, told.found, set(told.expected)) == (position, found, expected)
    assert told.message.startswith(f"Invalid filter at character {position + 1}: ")
    assert told.detail == f"{text}\n{' ' * position}^"


@pytest.mark.parametrize("text", sorted(set(REFUSED) - ADMITTED))
def test_what_mlflow_refuses_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        parse(text)
    assert 0 <= refused.value.position <= len(text)
    assert refused.value.expected


def test_a_long_filter_is_shown_around_its_mistake() -> None:
    text = "metrics.a < 1 AND " * 20 + "hello" + " AND metrics.a < 1" * 20
    with pytest.raises(Unreadable) as refused:
        parse(text)
    line, caret = refused.value.detail.split("\n")
    assert len(line) < 140
    assert line[caret.index("^") :].startswith("hello AND metrics.a < 1")


def test_what_cannot_be_printed_takes_its_room_above_the_caret() -> None:
    with pytest.raises(Unreadable) as refused:
        parse("tags.a = '\t✓'\nOR hello")
    assert refused.value.detail == f"tags.a = ' ✓' OR hello\n{' ' * 17}^"


def test_parentheses_nest_only_so_deep() -> None:
    parse("(" * MAX_DEPTH + "metrics.a < 1" + ")" * MAX_DEPTH)
    nested = "NOT (metrics.a < 1 OR metrics.a < 1 AND " * MAX_DEPTH + "metrics.a < 1"
    assert repr(parse(nested + ")" * MAX_DEPTH)).count("Not(") == MAX_DEPTH
    for text in ("NOT (" * (MAX_DEPTH + 1) + "metrics.a < 1", "NOT (" * 3000):
        with pytest.raises(Unreadable, match="nested deeper than 50") as refused:
            parse(text)
        assert refused.value.position == len("NOT (") * MAX_DEPTH + 4
    with pytest.raises(Unreadable, match="nested deeper than 50"):
        parse("(" * 5000 + "metrics.a < 1" + ")" * 5000)


def test_parentheses_side_by_side_are_not_deep() -> None:
    found = parse(" OR ".join(["(metrics.a < 1)"] * 500))
    assert isinstance(found, Or)
    assert len(found.parts) == 500


def test_nots_in_a_row_are_one_or_none() -> None:
    once = Comparison(Operand("metric", "a"), "<", 1.0, 16_000)
    assert parse("NOT " * 4000 + "metrics.a < 1") == once
    assert parse("NOT " * 4001 + "metrics.a < 1") == Not(once._replace(position=16_004))


def test_a_filter_has_a_longest() -> None:
    longest = "params.a = '" + "x" * (MAX_LENGTH - len("params.a = ''")) + "'"
    parse(longest)
    for text in (longest + " ", "x" * 100_000, "(" * 1_000_000):
        with pytest.raises(Unreadable, match="at most 20,000 characters") as refused:
            parse(text)
        assert refused.value.position == MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("start_time > " + "9" * 5000, 13, "too many digits"),
        ("tags.a = '" + "''" * 9000 + "x", 18_009, "never closed"),
        ("tags." + "`" * 19_001, 19_005, "never closed"),
        ("tags." + '"\\' * 9000, 18_004, "expected"),
        ("tags." + "[" * 19_000, 5, "expected"),
        ("tags." + " \n" * 9000 + "?", 18_005, "expected"),
        ("metrics.a" + " ." * 9000, 18_009, "expected"),
        ("run_id IN (" + "'a'," * 4900, 19_611, "expected"),
        ("run_id IN (" + '"""' * 6000, 18_011, "expected"),
        ("a" * 20_000, 0, "expected"),
        ("\x00", 0, "expected"),
        ("\ud800", 0, "expected"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_repeats_itself_is_refused_at_once(text: str, position: int, problem: str) -> None:
    with pytest.raises(Unreadable, match=problem) as refused:
        parse(text)
    assert refused.value.position == position
    assert len(refused.value.message) < 500
