"""A request's body as MLflow's server reads it: JSON, then its protobuf message, then a few checks on the JSON.

MLflow takes what the parser refuses for absent, and stores 0 for `"value": "x"`. Here it is refused
(docs/compatibility.md). Everything else is as in `mlflow.server.handlers`, which cannot be imported: with it
would come all of MLflow's server. Its protos, validators and errors are used themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import invalid_value

_M = TypeVar("_M", bound=Message)

_SEE_DOCS = " See the API docs for more information about request parameters."


# Where MLflow's rules of who may do not see what its server then does: a body that is encoded twice, an id that is
# null or spelt in camel case.
_UNUSUAL = (b"null", b'runId"', b'runUuid"', b'experimentId"')


class Body(NamedTuple):
    """What was sent. `content_type` is None where the header is missing."""

    raw: bytes
    content_type: str | None

    @property
    def is_unusual(self) -> bool:
        """Whether MLflow's rules may refuse what its server would do. They are to be asked for themselves then."""
        return self.raw.lstrip()[:1] == b'"' or any(sign in self.raw for sign in _UNUSUAL)

    @property
    def is_json(self) -> bool:
        return (
            self.content_type is not None and self.content_type.split(";")[0] == "application/json"
        )


def refused(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


def missing(parameter: str) -> MlflowException:
    return refused(f"Missing value for required parameter '{parameter}'.{_SEE_DOCS}")


def quickly(body: Body) -> dict[str, Any] | None:
    """The body as an object, if it is strict JSON. Integers of more than 64 bits have become floats."""
    try:
        given = orjson.loads(body.raw) if body.is_json else None
    except orjson.JSONDecodeError:
        return None
    return given if type(given) is dict else None


def decoded(raw: bytes) -> Any:
    """The JSON as MLflow's server reads it, or None where it is none. Raises MlflowException where it is too deep."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise refused("This request is nested too deeply to be read.") from None
    except ValueError:
        return None


def decoded_twice(raw: bytes) -> Any:
    """As `decoded`, and once more what is a text: old clients encode it twice."""
    given = decoded(raw)
    if not isinstance(given, str):
        return given
    text = given.strip()
    return None if text == "null" else decoded(text.encode("utf-8", "surrogatepass")) or text


def must_be_json(body: Body) -> None:
    """Raises MlflowException for another content type."""
    if body.content_type is None:
        raise refused("Bad Request. Content-Type header is missing.")
    if not body.is_json:
        raise refused("Bad Request. Content-Type must be one of ['application/json'].")


def fields_of(body: Body, *, list_is_empty: bool = False) -> dict[str, Any]:
    """The body as an object. No body, or one that is no JSON, is an empty one.

    Raises MlflowException for another content type, and for JSON that is no object.
    """
    must_be_json(body)
    given = decoded_twice(body.raw)
    if given is None or (list_is_empty and isinstance(given, list)):
        return {}
    if not isinstance(given, dict):
        raise refused("The request's body must be a JSON object.")
    return given


# What protobuf's parser raises, on purpose and else.
_UNREADABLE = (ParseError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError)

Check = Callable[[Any], bool]


# What a check is asked about is the JSON's value; it is told by whether it holds.
def is_present(value: Any) -> bool:
    return value is not None and value != ""


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    return _converts(int, value)


def is_number(value: Any) -> bool:
    return _converts(float, value)


def is_list(value: Any) -> bool:
    return isinstance(value, list)


def each_has(*fields: str) -> Check:
    """Of a list: whether each of its objects has all of these. Raises MlflowException naming the first that is missing."""

    def check(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        for place, item in enumerate(value):
            for wanted in fields:
                if not isinstance(item, dict) or not is_present(item.get(wanted)):
                    raise Lacking(f"[{place}].{wanted}")
        return True

    return check


class Lacking(Exception):
    """A part of a parameter's value is missing: where."""


_OF_TYPE = {is_text, is_whole, is_number, is_list}


def _converts(kind: type, value: Any) -> bool:
    try:
        kind(value)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


Checks = Mapping[str, Sequence[Check]]


def message_of(kind: type[_M], given: dict[str, Any], checks: Checks) -> _M:
    """The message, checked. Raises MlflowException as MLflow does, and where it would store something else."""
    refuse_two_spellings(given, kind.DESCRIPTOR)
    message: _M = kind()
    wrong: Exception | None = None
    try:
        ParseDict(given, message, ignore_unknown_fields=True)
    except _UNREADABLE as failure:
        wrong = failure
    _hold(checks, given, types=wrong is not None)
    if wrong is not None:
        raise refused(f"The request cannot be read: {_told(wrong)}")
    return message


def _told(failure: Exception) -> str:
    return str(failure).encode("utf-8", "replace").decode()[:500]


def _hold(checks: Checks, given: dict[str, Any], *, types: bool) -> None:
    """Raise for the first check that does not hold. Types count only where the parser has refused something."""
    for name, wanted in checks.items():
        if name not in given and is_present not in wanted:
            continue
        value = given.get(name)
        if name == "run_id" and value is None:
            value = given.get("run_uuid")
        for check in wanted:
            if check not in _OF_TYPE or types:
                _hold_one(check, name, value)


def _hold_one(check: Check, name: str, value: Any) -> None:
    try:
        holds = check(value)
    except Lacking as where:
        raise missing(f"{name}{where}") from None
    if not holds and check is is_present:
        raise missing(name)
    if not holds:
        hint = f" Hint: Value was of type '{type(value).__name__}'."
        raise refused(invalid_value(name, value, hint) + _SEE_DOCS)


def refuse_two_spellings(given: Any, kind: Descriptor) -> None:
    """Raise where a field is given by its name and by its JSON name: MLflow's rules would see one, its store the other."""
    if not isinstance(given, dict):
        return
    for field in kind.fields:
        if field.name != field.json_name and field.name in given and field.json_name in given:
            told = f"Request specifies both '{field.name}' and '{field.json_name}'; provide only one of them."
            raise refused(told)
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        value = given.get(field.name, given.get(field.json_name))
        for item in value if isinstance(value, list) else [value]:
            refuse_two_spellings(item, field.message_type)
