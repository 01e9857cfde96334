"""The requests that are answered twice: by MLflow's own server and by ours."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

JSON = "application/json"
CSV = "text/csv"
RECORD = {
    "sepal length": 5.1,
    "sepal width": 3.5,
    "petal length": 1.4,
    "petal width": 0.2,
}
IRIS, ROW = list(RECORD), list(RECORD.values())
TYPED: dict[str, Any] = {
    "d": 1.5,
    "l": 3,
    "i": 4,
    "s": "x",
    "b": True,
    "t": "2024-01-02T03:04:05",
}


class Case(NamedTuple):
    model: str
    name: str
    content_type: str | None
    body: bytes
    method: str = "POST"
    path: str = "/invocations"


def _case(
    model: str,
    name: str,
    body: dict[str, Any] | list[Any] | str | bytes,
    content_type: str | None = JSON,
) -> Case:
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    return Case(model, name, content_type, body)


def _split(row: list[Any], columns: list[str] = IRIS) -> dict[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": [row]}}


def _iris() -> list[Case]:
    """A scikit-learn model with a signature of four doubles."""
    csv = ",".join(IRIS) + "\n5.1,3.5,1.4,0.2\n"
    split = json.dumps(_split(ROW))
    bodies: dict[str, Any] = {
        "split": _split(ROW),
        "split with index": {"dataframe_split": {"index": [7], "columns": IRIS, "data": [ROW]}},
        "split, many rows": {"dataframe_split": {"columns": IRIS, "data": [ROW] * 100}},
        "split, no rows": {"dataframe_split": {"columns": IRIS, "data": []}},
        "split without columns": {"dataframe_split": {"data": [ROW]}},
        "split, ragged": _split(ROW[:3]),
        "records": {"dataframe_records": [RECORD]},
        "records, other order": {"dataframe_records": [dict(reversed(list(RECORD.items())))]},
        "instances of columns": {"instances": [RECORD, RECORD]},
        "instances of lists": {"instances": [ROW]},
        "inputs of columns": {"inputs": {name: [1.0] for name in IRIS}},
        "inputs of lists": {"inputs": [ROW]},
        "whole numbers": _split([5, 3, 1, 0]),
        "text for a number": _split(["five", 3.5, 1.4, 0.2]),
        "number as text": _split(["5.1", 3.5, 1.4, 0.2]),
        "null": _split([None, 3.5, 1.4, 0.2]),
        "NaN": split.replace("5.1", "NaN"),
        "Infinity": split.replace("5.1", "Infinity"),
        "a number too large": split.replace("5.1", "1e400"),
        "wrong columns": _split(ROW, ["a", "b", "c", "d"]),
        "a column missing": _split(ROW[:3], IRIS[:3]),
        "a column more": _split([*ROW, 1], [*IRIS, "colour"]),
        "bad JSON": '{"dataframe_split":',
        "a list": [ROW],
        "a number": "5",
        "nothing": "",
        "two formats": {**_split(ROW), "inputs": [ROW]},
        "no format": {"rows": [ROW]},
        "params it does not take": {**_split(ROW), "params": {"a": 1}},
        "byte order mark": b"\xef\xbb\xbf" + split.encode(),
        "UTF-16": split.encode("utf-16"),
        "not UTF-8": b'{"inputs": "\xff"}',
        "a chat": {"messages": [{"role": "user", "content": "hello"}]},
        "a prompt": {"prompt": "hello"},
    }
    typed: dict[str, tuple[Any, str | None]] = {
        "charset": (split, "application/json; charset=utf-8"),
        "charset in capitals": (split, "application/json;charset=UTF-8"),
        "another charset": (split, "application/json; charset=latin-1"),
        "a parameter more": (split, "application/json; version=2"),
        "type in capitals": (split, "Application/JSON"),
        "no type": (split, None),
        "an empty type": (split, ""),
        "XML": ("<iris/>", "application/xml"),
        "a form": ("a=1", "application/x-www-form-urlencoded"),
        "parquet that is none": ("PAR1", "application/vnd.apache.parquet"),
        "csv": (csv, CSV),
        "csv with charset": (csv, "text/csv; charset=utf-8"),
        "csv, text for a number": (csv.replace("5.1", "five"), CSV),
        "csv, wrong columns": ("a,b\n1,2\n", CSV),
        "csv, nothing": ("", CSV),
        "csv, not UTF-8": (b"\xff\xfe\n1\n", CSV),
    }
    return [_case("iris", name, body) for name, body in bodies.items()] + [
        _case("iris", name, body, kind) for name, (body, kind) in typed.items()
    ]


def _typed() -> list[Case]:
    """A model that says back which types and values MLflow made of its input."""
    changed: dict[str, dict[str, Any]] = {
        "as it should be": {},
        "long from null": {"l": None},
        "long from 3.7": {"l": 3.7},
        "long from text": {"l": "3"},
        "long out of range": {"l": 2**63},
        "integer out of range": {"i": 2**40},
        "text from a number": {"s": 5},
        "text from null": {"s": None},
        "boolean from text": {"b": "false"},
        "boolean from null": {"b": None},
        "boolean from a number": {"b": 1},
        "time in UTC": {"t": "2024-01-02T03:04:05Z"},
        "time with an offset": {"t": "2024-01-02T03:04:05+02:00"},
        "time, day first": {"t": "01/02/2024"},
        "time that is none": {"t": "nope"},
    }
    params: dict[str, Any] = {
        "params": {"share": 0.75},
        "params, of another type": {"share": "much"},
        "params, unknown": {"colour": "red"},
        "params, empty": {},
        "params, null": None,
        "params, not an object": [1],
    }
    cases: dict[str, Any] = {
        name: {"dataframe_records": [{**TYPED, **change}]} for name, change in changed.items()
    }
    for name, given in params.items():
        cases[name] = {"dataframe_records": [TYPED], "params": given}
    cases["instances"] = {"instances": [TYPED]}
    cases["inputs"] = {"inputs": {name: [value] for name, value in TYPED.items()}}
    return [_case("typed", name, body) for name, body in cases.items()]


def _plain() -> list[Case]:
    """A Python function without a signature."""
    orders = ["echo", "raise", "refuse", "unknown to JSON"]
    cases: dict[str, Any] = {
        f"told to {order}": {"dataframe_records": [{"do": order}]} for order in orders
    }
    cases["a tensor"] = {"inputs": [[1, 2], [3, 4]]}
    cases["named tensors"] = {"inputs": {"a": [1.5, 2.5], "b": ["x", "y"]}}
    cases["one number"] = {"inputs": 5}
    cases["a ragged tensor"] = {"instances": [[1, 2], [3]]}
    cases["missing values"] = '{"dataframe_records": [{"a": NaN}, {"a": null}]}'
    cases["not ASCII"] = {"dataframe_records": [{"a": "ø 漢 \U0001f600"}]}
    cases["a lone surrogate"] = '{"dataframe_records": [{"a": "\\ud800"}]}'
    return [_case("plain", name, body) for name, body in cases.items()]


def _get(path: str) -> Case:
    return Case("plain", f"GET {path}", None, b"", "GET", path)


CASES = [
    *_iris(),
    *_typed(),
    *_plain(),
    *(_get(path) for path in ("/ping", "/health", "/version")),
]
