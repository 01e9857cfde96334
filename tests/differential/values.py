"""Values that a field of a request may be given, as they stand in the JSON text."""

from __future__ import annotations

import json

# Of any field: what has the wrong type, and what has none.
WRONG = {
    "null": "null",
    "true": "true",
    "false": "false",
    "an empty list": "[]",
    "a list": '["a"]',
    "an empty object": "{}",
    "an object": '{"a": 1}',
}
NUMBERS = {
    text: text
    for text in (
        *("0", "-0.0", "1", "-1", "1.0", "1.5", "1e3", "1e400", "2147483648", "NaN", "-Infinity"),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    )
}
# Numbers as programs write them into strings.
SPELT = {
    f"the string {text!r}": json.dumps(text)
    for text in (
        *("1", "-1", "1.0", "1.5", "1e3", " 1", "1_000", "0x10", "01", "x", "\u0661"),
        *("9223372036854775807", "9223372036854775808"),
        *("NaN", "nan", "Infinity", "-Infinity", "inf", "1e400"),
    )
}
TEXTS = {
    "empty": '""',
    "a space": '" "',
    "a word": '"text"',
    "astral": '"\U0001f600"',
    "combining": '"e\u0301"',
    "right to left": '"\u202e\u05d0"',
    "a lone surrogate": '"a\\ud800b"',
    "NUL": '"a\\u0000b"',
    "a line break": '"a\\nb"',
    "a trailing line break": '"a\\n"',
    "a percent sign": '"50%s"',
    "a character that is not allowed": '"a!b"',
}
PATHS = {
    f"the path {path!r}": json.dumps(path)
    for path in ("a/b", "a/../b", "/a", "a//b", ".", "..", "a/./b", "../a", "a/", "a:b", "a\\b")
}


def of_length(*lengths: int) -> dict[str, str]:
    return {f"{length} characters": json.dumps("x" * length) for length in lengths}


TEXT_FIELD = WRONG | {name: NUMBERS[name] for name in ("1", "1.5", "NaN")} | TEXTS
NUMBER_FIELD = WRONG | NUMBERS | SPELT | {name: TEXTS[name] for name in ("empty", "astral", "NUL")}
MESSAGE_FIELD = (
    {name: WRONG[name] for name in ("null", "true", "an empty list", "an object")}
    | {"1.5": "1.5", "a word": '"text"', "a list of null": "[null]", "a list of numbers": "[1]"}
    | {"a list of empty objects": "[{}]", "a list in a string": '"[]"'}
    | {"objects and a null": '[{"key": "k", "value": "v"}, null]'}
)


def _few(values: dict[str, str], *names: str) -> dict[str, str]:
    return {name: values[name] for name in names}


# Where it is the same reader's work again: one of each kind.
SHORT_TEXT = _few(
    TEXT_FIELD,
    *("null", "true", "an empty list", "an object", "1", "empty", "a space", "astral"),
    *("a lone surrogate", "NUL", "a trailing line break", "a character that is not allowed"),
)
SHORT_NUMBER = _few(
    NUMBER_FIELD,
    *("null", "true", "an empty list", "an object", "0", "-1", "1.0", "1.5", "1e400", "NaN"),
    *("9223372036854775807", "9223372036854775808", "the string '1'", "the string ' 1'"),
    *("the string 'x'", "the string 'NaN'", "empty"),
)
SHORT_PATHS = _few(PATHS, *(f"the path {path!r}" for path in ("a/b", "a/../b", "..", "a:b")))
