"""The grammar, and the tree that each of its rules makes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer
from lark.lark import PostLex

from tracking.language.tree import And, Comparison, Node, Not, Operand, Or

MAX_DEPTH = 50
NUMBERS = ("start_time", "end_time", "duration", "created", "Created")
TEXTS = (
    "artifact_uri",
    "run_name",
    "status",
    "user_id",
    "Run Name",
    "Run name",
    "run name",
)
ALIASES = {
    "created": "start_time",
    "Created": "start_time",
    "run name": "run_name",
    "Run name": "run_name",
    "Run Name": "run_name",
}
_DATASET = ("name", "digest", "context")

# What sqlparse, and so MLflow, takes for the name of something: a backslash or a second quote does not end it.
_BACKTICKS = r"`(?:``|[^`])*`"
_STRING = r"""'(?:''|[\\]'|[^'])*'|"(?:""|[\\]["]|[^"])*["]"""
_PYTHON = "|".join(
    rf"{quote * 3}(?:[\\].|[^\\])*?{quote * 3}|{quote}(?:[\\].|[^{quote}\\\n])*{quote}"
    for quote in "'\""
)
_NAME = rf"(?:{_BACKTICKS}|{_STRING}|´[^´]*´|\[[^\[\]]+\]|[@#]*\w[\w$#]*|\*)"
# After a blank, a word may be the operator of a key that ends with a dot.
_NEXT = rf"(?:{_NAME}|\s+(?!(?i:I?LIKE|IS|IN|NOT|AND|OR)\b){_NAME})?"
_KEY = rf"{_NEXT}(?:\s*(?:\.|::|->>?){_NEXT}|\s*\([^()]*\)|\s*\[[^\[\]]*\])*"


def _of(kind: str, key: str) -> str:
    return rf"(?:{kind}|`(?:{kind})`)\.{key}"


def _one_of(keys: tuple[str, ...]) -> str:
    """One of some keys, plain or in the quotes that MLflow takes off."""
    plain = "|".join(key for key in keys if " " not in key)
    every = "|".join(keys)
    return rf"""(?:(?:{plain})(?!\w)|`(?:{every})`|["](?:{every}|`(?:{every})`)["])"""


def _attribute(keys: tuple[str, ...]) -> str:
    single = rf"'(?:{'|'.join(keys)})'"  # alone, it is a string
    return rf"{_one_of(keys)}|" + _of("attributes?|attr|run", f"(?:{_one_of(keys)}|{single})")


_GRAMMAR = rf"""
    filter: either
    conditions: (_AND | _comparison)+

    either: both (_OR both)*
    both: _one (_AND _one)*
    _one: negation | _OPEN either _CLOSE | _comparison
    negation: _NOT _one

    _comparison: compared | contained | known
    compared: number (EQUAL | ORDER) NUMBER
            | _text (EQUAL | LIKE | ILIKE | MATCH) string
    contained: (nullable | textual) _in _OPEN string (_COMMA string)* _COMMA? _CLOSE
             | listed _in _OPEN python (_COMMA python)* _COMMA? _CLOSE
    known: nullable (IS_NULL | IS_NOT_NULL)

    number: METRIC | NUMERIC | AGGREGATE _OPEN METRIC _CLOSE
    nullable: PARAMETER | TAG
    textual: TEXTUAL
    listed: RUN_ID | DATASET
    _text: nullable | textual | listed
    _in: IN | NOT_IN
    string: STRING
    python: PYTHON+

    METRIC: /{_of("metrics?", _KEY)}/
    PARAMETER: /{_of("param(?:eter)?s?", _KEY)}/
    TAG: /{_of("tags?", _KEY)}/
    DATASET: /{_of("datasets?", f"(?:{_one_of(_DATASET)}|'(?:{'|'.join(_DATASET)})')")}/
    NUMERIC: /{_attribute(NUMBERS)}/
    TEXTUAL: /{_attribute(TEXTS)}/
    RUN_ID: /{_attribute(("run_id",))}/
    AGGREGATE: /(?ai:min|max|first|last|count)(?=\s*\()/

    EQUAL: /!?=(?![<>=~!])/
    ORDER: /[<>]=?(?![<>=~!])/
    MATCH: /!?~(?![<>=~!])/
    LIKE: /LIKE\b/i
    ILIKE: /ILIKE\b/i
    IN: /IN\b/i
    NOT_IN: /NOT\s+IN\b/i
    IS_NULL: /IS\s+NULL\b/i
    IS_NOT_NULL: /IS\s+NOT\s+NULL\b/i
    NUMBER: /[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?/i
    STRING: /{_STRING}/
    PYTHON: /{_PYTHON}/s

    _AND: /AND\b/i
    _OR: /OR\b/i
    _NOT: /NOT\b/i
    _OPEN: "("
    _CLOSE: ")"
    _COMMA: ","
    %ignore /\s+/
"""

_KINDS = {
    "METRIC": "metric",
    "PARAMETER": "parameter",
    "TAG": "tag",
    "DATASET": "dataset",
    "NUMERIC": "attribute",
    "TEXTUAL": "attribute",
    "RUN_ID": "attribute",
}


class Refused(Exception):
    """What the grammar takes, and is wrong nevertheless."""

    def __init__(self, token: Token, problem: str) -> None:
        super().__init__(problem)
        self.position, self.found, self.problem = _position(token), str(token), problem


@cache
def language() -> Lark:
    """The parser. It starts at `filter`, or at `conditions`: what MLflow takes for one."""
    return Lark(
        _GRAMMAR,
        parser="lalr",
        start=["filter", "conditions"],
        transformer=_Tree(),
        postlex=_Depth(),
    )


class _Depth(PostLex):
    """Refuses what is nested too deep for those who walk the tree."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = 0
        for token in stream:
            depth += (token.type == "_OPEN") - (token.type == "_CLOSE")
            if depth > MAX_DEPTH:
                raise Refused(token, f"parentheses are nested deeper than {MAX_DEPTH}")
            yield token


class _Named(NamedTuple):
    """An operand, and where it starts."""

    operand: Operand
    position: int


class _Tree(Transformer[Token, Node]):
    """One method for each rule, of what the rule's parts have become."""

    def filter(self, parts: list[Node]) -> Node:
        return parts[0]

    def conditions(self, parts: list[Node]) -> Node:
        return And(tuple(parts))

    def either(self, parts: list[Node]) -> Node:
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def both(self, parts: list[Node]) -> Node:
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def negation(self, parts: list[Node]) -> Node:
        return parts[0].part if isinstance(parts[0], Not) else Not(parts[0])

    def compared(self, parts: tuple[_Named, Token, Token | str]) -> Node:
        (operand, position), comparator, value = parts
        read = _number(operand, value) if isinstance(value, Token) else value
        return Comparison(operand, _comparator(comparator), read, position)

    def contained(self, parts: list[Any]) -> Node:
        (operand, position), comparator, *items = parts
        return Comparison(operand, _comparator(comparator), tuple(items), position)

    def known(self, parts: tuple[_Named, Token]) -> Node:
        (operand, position), comparator = parts
        return Comparison(operand, _comparator(comparator), None, position)

    def number(self, parts: list[Token]) -> _Named:
        *aggregate, name = parts
        key = _key(name)
        operand = Operand(_KINDS[name.type], key, "".join(aggregate).lower())
        return _Named(operand, _position(parts[0]))

    nullable = textual = listed = number

    def string(self, parts: list[Token]) -> str:
        return parts[0][1:-1]

    def python(self, parts: list[Token]) -> str:
        """MLflow reads its lists as Python's: a backslash escapes, and texts side by side are one."""
        return "".join(map(_literal, parts))


def _comparator(token: Token) -> str:
    """Of a word, the terminal's name: some letters become others in capitals."""
    return token.type.replace("_", " ") if token[0].isalpha() else str(token)


def _key(name: Token) -> str:
    """MLflow takes off one pair of quotes, then one of backticks."""
    key = name.split(".", 1)[-1]
    for quotes in ("'\"", "`"):
        if len(key) > 1 and key[0] == key[-1] and key[0] in quotes:
            key = key[1:-1]
    return ALIASES.get(key, key)


def _number(operand: Operand, value: Token) -> float:
    """As MLflow does, a time is compared with a whole number where one is written."""
    if operand.kind == "metric" or not value.lstrip("+-").isdecimal():
        return float(value)
    try:
        return int(value)
    except ValueError:
        raise Refused(value, "this number has too many digits") from None


def _literal(token: Token) -> str:
    try:
        return str(ast.literal_eval(token))
    except (SyntaxError, ValueError):
        raise Refused(token, "this is no text as Python writes it") from None


def _position(token: Token) -> int:
    return token.start_pos or 0
