"""For every field of every message: each value that it might be given, in a request that is good but for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tests.differential.cases import Case
from tests.differential.requests import GOOD, message_of
from tests.differential.values import (
    MESSAGE_FIELD,
    NUMBER_FIELD,
    PATHS,
    SHORT_NUMBER,
    SHORT_PATHS,
    SHORT_TEXT,
    TEXT_FIELD,
    of_length,
)

_HOLE = "@hole@"
# Where every value is tried; the other fields are of the same kinds: there, one value of each kind.
_THOROUGHLY = {
    ("mlflow/runs/log-metric", name) for name in ("run_id", "key", "value", "timestamp", "step")
}
# The lengths around which a text is cut, refused or too much for its column, by the name of its field.
_LENGTHS = {
    "artifact_location": (200, 256, 257, 2048, 2049),
    "dataset_digest": (36, 37),
    "digest": (36, 37),
    "key": (250, 251, 255, 256),
    "model_id": (36, 37),
    "name": (242, 243, 256, 486, 487, 500, 501),
    "run_id": (32, 33, 256, 257),
    "run_name": (250, 251),
    "source": (65_535, 65_536),
    "source_type": (36, 37),
    "user_id": (256, 257),
    "value": (500, 501, 6001, 8001, 20_000, 20_001),
}


def fields_of(route: str) -> list[str]:
    """Every field of the route's message by its path, of repeated ones those of the first: `tags.0.key`."""
    return list(_paths(message_of(route), ""))


def cases_of(route: str, path: str) -> Iterator[Case]:
    """The route's good request with the field missing, and with each value in its place."""
    field = field_at(route, path)
    missing = with_value(route, path, None)
    yield Case(f"{path} missing", route, missing)
    for name, text in _values(field, (route, path) in _THOROUGHLY).items():
        yield Case(f"{path} is {name}", route, with_value(route, path, text))
    if field.json_name != field.name:
        yield Case(f"{path} in camelCase", route, _renamed(route, path, field.json_name))
        yield Case(f"{path} spelt both ways", route, _twice(route, path, field.json_name))


def with_value(route: str, path: str, text: str | None) -> bytes:
    """The good request with this JSON text at the path, or with nothing there."""
    whole, holder, last = _opened(route, path)
    if (route, path) == ("mlflow/experiments/create", "name"):
        text = _marked(text)
    if text is None:
        holder.pop(last, None)
    else:
        holder[last] = _HOLE
    return json.dumps(whole).replace(f'"{_HOLE}"', text or "").encode("utf-8", "surrogatepass")


def _marked(text: str | None) -> str | None:
    """With the twin's mark before it, where it is a text: no two experiments have one name."""
    is_name = text is not None and len(text) > 2 and text.startswith('"')
    return f'"@mark@{text[1:]}' if text and is_name else text


def field_at(route: str, path: str) -> Any:
    message, field = message_of(route), None
    for word in path.split("."):
        if not word.isdigit():
            field = message.fields_by_name[word]
            message = field.message_type
    return field


def _paths(message: Any, before: str) -> Iterator[str]:
    for field in message.fields:
        yield before + field.name
        if field.message_type is not None:
            inner = f"{before}{field.name}." + ("0." if field.is_repeated else "")
            yield from _paths(field.message_type, inner)


def _values(field: Any, thoroughly: bool) -> dict[str, str]:
    numbers, texts, paths = (
        (NUMBER_FIELD, TEXT_FIELD, PATHS) if thoroughly else (SHORT_NUMBER, SHORT_TEXT, SHORT_PATHS)
    )
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return MESSAGE_FIELD
    if field.type == FieldDescriptor.TYPE_ENUM:
        own = {name: json.dumps(name) for name in field.enum_type.values_by_name}
        return numbers | own | {"a word": '"text"', "lower case": '"finished"', "5": "5"}
    if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_DOUBLE):
        return numbers
    lengths = of_length(*_LENGTHS.get(field.name, ()))
    return texts | lengths | (paths if field.name == "key" else {})


def _opened(route: str, path: str) -> tuple[Any, Any, str]:
    """The good request, and in it the object with the path's last field, and its name."""
    whole = deepcopy(GOOD[route])
    *before, last = path.split(".")
    holder: Any = whole
    for word in before:
        holder = holder[int(word)] if word.isdigit() else holder[word]
    if last == "run_uuid":  # which is looked at where there is no other
        holder.pop("run_id")
    return whole, holder, last


def _renamed(route: str, path: str, other: str) -> bytes:
    whole, holder, last = _opened(route, path)
    holder[other] = holder.pop(last, _otherwise(last))
    return json.dumps(whole).encode()


def _twice(route: str, path: str, other: str) -> bytes:
    whole, holder, last = _opened(route, path)
    holder[other] = holder.setdefault(last, _otherwise(last))
    return json.dumps(whole).encode()


def _otherwise(name: str) -> str:
    """For a field that the good request does not have."""
    return {"run_uuid": "@run@", "model_id": "@model@"}.get(name, "x")
