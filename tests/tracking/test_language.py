"""The language of filters: whatever MLflow's parser takes means the same, and the rest is ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from mlflow.utils.search_utils import SearchUtils

from studio.lib.errors import Invalid
from tests.tracking.search_cases import FILTERS
from tracking.language.grammar import ALIASES, NUMBERS, TEXTS
from tracking.language.mistakes import Unreadable
from tracking.language.reader import parse
from tracking.language.tree import And, Comparison, Node, Not, Operand, Or
from tracking.parser import parse_as_mlflow

ROOT = Path(__file__).parents[2]


def conditions(node: Node) -> list[Comparison]:
    """Of a filter in MLflow's language, wherever they stand in it."""
    found = []
    for part in node.parts if isinstance(node, And) else (node,):
        assert isinstance(part, Comparison)
        found.append(part._replace(position=0))
    return found


def same(ours: list[Comparison], others: list[Comparison]) -> bool:
    return ours == others and [type(each.value) for each in ours] == [
        type(each.value) for each in others
    ]


# MLflow's language


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_of_mlflow_says_what_it_says_there(text: str) -> None:
    assert same(conditions(parse(text)), parse_as_mlflow(text))


_BLANK = some.sampled_from(["", " ", " ", " ", "  ", "\t", "\n", " \r\n ", "\u00a0"])
_LETTERS = some.text("abZ_09éßЖ🙂%\\'\"`. -/()[]", max_size=6)
_QUOTED = some.builds(
    lambda quote, text: f"{quote}{text}{quote}", some.sampled_from("'\""), _LETTERS
)
_WORD = some.text("abZ_09éßЖ", min_size=1, max_size=6)
_KEY = some.one_of(
    _WORD,
    some.builds("{}.{}".format, _WORD, _WORD),
    some.sampled_from(["mlflow.runName", "order", "like", "a(b)", "a [0]", "a::b", "a . b", "*", "a."]),
    _QUOTED,
    some.builds("`{}`".format, _LETTERS),
    some.builds('"`{}`"'.format, _WORD),
)  # fmt: skip
_NUMBER = some.one_of(
    some.from_regex(r"-?([0-9]{1,4}\.?[0-9]{0,3}|\.[0-9]{1,3})(e-?[0-9]{1,3})?", fullmatch=True),
    some.sampled_from(["1.", ".5", "1e5", "1E5", "-3", "+2", "1e+5", "007", "٣", "9" * 400, "1e400"]),
)  # fmt: skip
_ANY = some.sampled_from(["=", "!="])
_ORDER = some.sampled_from(["<", "<=", ">", ">="])
_LIKE = some.sampled_from(["LIKE", "like", "Ilike", "ILIKE", "lIkE", "lıke"])
_NULL = some.sampled_from(["IS NULL", "is null", "IS NOT NULL", "is  not null", "Is\tNull"])
_IN = some.sampled_from(["IN", "in", "NOT IN", "not  in", "Not\tIn"])
_LIST = some.builds(
    lambda blank, items, end: f"({blank}{f'{blank},{blank}'.join(items)}{end})",
    _BLANK, some.lists(_QUOTED, min_size=1, max_size=3), some.sampled_from(["", ",", " , "]),
)  # fmt: skip
_KEYED = some.sampled_from(
    ["param.", "params.", "parameter.", "parameters.", "tag.", "tags.", "`tags`."]
)
_ATTRIBUTE = some.sampled_from(["", "attr.", "attribute.", "attributes.", "run.", "`run`."])
_TEXT = some.builds(
    "{}{}".format,
    _ATTRIBUTE,
    some.sampled_from(["run_id", "run_name", "`Run Name`", '"run name"', "status", "`user_id`"]),
)
_TIME = some.builds(
    "{}{}".format,
    _ATTRIBUTE,
    some.sampled_from(["start_time", '"end_time"', "Created", "`created`"]),
)
_DATASET = some.sampled_from(
    ["dataset.name", "datasets.`digest`", "dataset.'context'", "`dataset`.name"]
)
_METRIC = some.builds("{}{}".format, some.sampled_from(["metric.", "metrics.", "`metrics`."]), _KEY)
_PARAMETER = some.builds("{}{}".format, _KEYED, _KEY)
_CONDITION = some.one_of(
    some.tuples(some.one_of(_METRIC, _TIME), _BLANK, some.one_of(_ANY, _ORDER), _BLANK, _NUMBER),
    some.tuples(
        some.one_of(_PARAMETER, _TEXT, _DATASET), _BLANK, some.one_of(_ANY, _LIKE), _BLANK, _QUOTED
    ),
    some.tuples(some.one_of(_KEYED), _WORD, some.just(" "), _NULL),
    some.tuples(some.one_of(some.just("run_id"), _DATASET), some.just(" "), _IN, _BLANK, _LIST),
).map("".join)
_AND = some.sampled_from([" AND ", " and ", "AND ", "\nAnd\t", " AND AND "])
_FILTER = some.builds(
    lambda conditions, between, around: around + between.join(conditions) + around,
    some.lists(_CONDITION, min_size=1, max_size=3),
    _AND,
    some.sampled_from(["", "", " ", " AND "]),
)


def test_generated_filters_say_what_they_say_to_mlflow() -> None:
    taken = []

    @settings(max_examples=3000, derandomize=True, database=None, deadline=None)
    @given(_FILTER)
    def check(text: str) -> None:
        try:
            expected = parse_as_mlflow(text)
        except Invalid:
            return
        taken.append(text)
        assert same(conditions(parse(text)), expected)

    check()
    assert len(set(taken)) > 1500


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a < 1 metrics.b < 2",
        "tags.a='x'tags.b='y'",
        " AND metrics.a < 1 AND AND metrics.b < 2 AND ",
        "AND",
        "",
    ],
)
def test_between_conditions_any_number_of_ands_will_do(text: str) -> None:
    assert same(conditions(parse(text)), parse_as_mlflow(text))


@pytest.mark.parametrize(
    "text",
    [
        "tags.a b IS NULL",  # an alias of SQL, taken for a part of the key
        "tags.a desc = 'x'",
        'params.a = "x"."y"',  # a column of a table
        "run_id LIKE ('x')",
        "run_id IN (('x'), 'y')",
        "run_id IN (u'x')",
    ],
)
def test_what_mlflow_takes_by_accident_is_no_filter_here(text: str) -> None:
    assert len(parse_as_mlflow(text)) == 1
    with pytest.raises(Unreadable, match="Invalid filter at character"):
        parse(text)


def test_attributes_and_their_aliases_are_those_of_mlflow() -> None:
    keys = {*NUMBERS, *TEXTS, "run_id"}
    assert keys - {"duration"} == SearchUtils.VALID_SEARCH_ATTRIBUTE_KEYS
    assert set(NUMBERS) - {"duration"} == SearchUtils.NUMERIC_ATTRIBUTES
    assert {key: SearchUtils.translate_key_alias(key) for key in keys} == {
        key: ALIASES.get(key, key) for key in keys
    }


# The larger language


def a(text: str, position: int = 0) -> Comparison:
    """One condition of MLflow's language, as it stands at some position of a filter."""
    (found,) = parse_as_mlflow(text)
    return found._replace(position=position)


def of(aggregate: str, comparator: str, value: float) -> Comparison:
    return Comparison(Operand("metric", "x", aggregate), comparator, value, 0)


DEPTH, NOTE, TEAM = (
    Operand("parameter", "depth"), Operand("parameter", "note"), Operand("tag", "team")
)  # fmt: skip
STATUS, RUN, DATASET = (
    Operand("attribute", "status"), Operand("attribute", "run_id"), Operand("dataset", "name")
)  # fmt: skip
LARGER: dict[str, Node] = {
    "metrics.a < 1 OR metrics.b > 2": Or((a("metrics.a < 1"), a("metrics.b > 2", 17))),
    "metrics.a<1 or metrics.b<2 Or metrics.c<3":
        Or((a("metrics.a < 1"), a("metrics.b < 2", 15), a("metrics.c < 3", 30))),
    "metrics.a<1 OR metrics.b<2 AND metrics.c<3":
        Or((a("metrics.a < 1"), And((a("metrics.b < 2", 15), a("metrics.c < 3", 31))))),
    "(metrics.a<1 OR metrics.b<2)AND(metrics.c<3)":
        And((Or((a("metrics.a < 1", 1), a("metrics.b < 2", 16))), a("metrics.c < 3", 32))),
    "NOT metrics.a<1 AND metrics.b<2": And((Not(a("metrics.a < 1", 4)), a("metrics.b < 2", 20))),
    "not(metrics.a<1 AND metrics.b<2)": Not(And((a("metrics.a < 1", 4), a("metrics.b < 2", 20)))),
    "NOT NOT metrics.a<1": a("metrics.a < 1", 8),
    "NOT (NOT (NOT metrics.a<1))": Not(a("metrics.a < 1", 14)),
    " ( ( metrics.a < 1 ) ) ": a("metrics.a < 1", 5),
    "NOT params.depth IS NULL": Not(a("params.depth IS NULL", 4)),
    "params.depth ~ '^[0-9]+$'": Comparison(DEPTH, "~", "^[0-9]+$", 0),
    "tags.team!~'(?i)RED|\\d'": Comparison(TEAM, "!~", "(?i)RED|\\d", 0),
    'attributes.status ~ "^F"': Comparison(STATUS, "~", "^F", 0),
    "run_id ~ '^0' OR dataset.name !~ 'x'":
        Or((Comparison(RUN, "~", "^0", 0), Comparison(DATASET, "!~", "x", 17))),
    "params.depth IN ('8')": Comparison(DEPTH, "IN", ("8",), 0),
    "params.depth NOT IN ('8', \"10\" , )": Comparison(DEPTH, "NOT IN", ("8", "10"), 0),
    "params.depth İN ('8')": Comparison(DEPTH, "IN", ("8",), 0),
    "tags.team not\n in('a')": Comparison(TEAM, "NOT IN", ("a",), 0),
    "status IN ('FAILED', 'KILLED')": Comparison(STATUS, "IN", ("FAILED", "KILLED"), 0),
    # A text is the same in a list as outside, but for MLflow's own lists.
    r"params.note IN ('rot\blau', 'it''s')": Comparison(NOTE, "IN", (r"rot\blau", "it''s"), 0),
    r"run_id IN ('\x41', 'it''s')": Comparison(RUN, "IN", ("A", "its"), 0),
    "duration > 60000": Comparison(Operand("attribute", "duration"), ">", 60000, 0),
    "attributes.`duration` <= 1.5e3": Comparison(Operand("attribute", "duration"), "<=", 1500.0, 0),
    "min(metrics.x) < 1": of("min", "<", 1.0),
    "MAX ( metrics.x ) >= -1e5": of("max", ">=", -1e5),
    "first(metric.`x`) = +2": of("first", "=", 2.0),
    "Last(metrics.\"x\") != 1e+5": of("last", "!=", 1e5),
    "count(metrics.x) > 0": of("count", ">", 0.0),
    "max(metrics.f1(macro)) > 0": Comparison(Operand("metric", "f1(macro)", "max"), ">", 0.0, 0),
}  # fmt: skip


@pytest.mark.parametrize("text", LARGER)
def test_the_larger_language(text: str) -> None:
    assert parse(text) == LARGER[text]


_LEAF: some.SearchStrategy[Node] = some.integers(0, 9).map(
    lambda number: Comparison(Operand("metric", "x"), "<", float(number), 0)
)
_NODE = some.recursive(
    _LEAF,
    lambda node: some.one_of(
        some.lists(node, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        some.lists(node, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
        node.map(lambda part: part.part if isinstance(part, Not) else Not(part)),
    ),
    max_leaves=8,
)


def written(node: Node) -> str:
    """With no parentheses but those that its meaning needs."""
    match node:
        case And(parts):
            return " AND ".join(written_in(part, And, Or) for part in parts)
        case Or(parts):
            return " OR ".join(written_in(part, Or) for part in parts)
        case Not(part):
            return f"NOT {written_in(part, And, Or)}"
    return f"metrics.x < {node.value}"


def written_in(node: Node, *wrapped: type[Node]) -> str:
    return f"({written(node)})" if isinstance(node, wrapped) else written(node)


def placeless(node: Node) -> Node:
    match node:
        case And(parts) | Or(parts):
            return type(node)(tuple(placeless(part) for part in parts))
        case Not(part):
            return Not(placeless(part))
    return node._replace(position=0)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(_NODE)
def test_not_binds_closer_than_and_and_and_than_or(node: Node) -> None:
    assert placeless(parse(written(node))) == node


def test_the_examples_of_the_documentation_are_filters() -> None:
    examples = (ROOT / "docs/search.md").read_text().split("```")[1].strip().splitlines()
    assert len(examples) == 4
    for example in examples:
        parse(example)
