"""What a request to a reading route asks for, where it asks as clients do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils

from studio.lane.asking import Elsewhere
from studio.lane.messages import Body, quickly

_LONG = 2**63


class Asked(NamedTuple):
    """`query` is what follows the `?` of the address, as it was sent. `body` counts where the method is POST."""

    method: str
    query: str
    body: Body


# Makes the value of a field of what was sent: JSON's value, or all texts that a query has for it. Raises Elsewhere.
Field = Callable[[Any], Any]


def fields(asked: Asked, wanted: Mapping[str, Field]) -> dict[str, Any]:
    """The fields that were sent, by name. Raises Elsewhere where there is another one, or a value is unusual."""
    sent = _in_body(asked.body) if asked.method == "POST" else _in_query(asked.query)
    if not sent.keys() <= wanted.keys():
        raise Elsewhere
    return {name: wanted[name](value) for name, value in sent.items()}


def needed(sent: Mapping[str, Any], name: str) -> Any:
    """Raises Elsewhere where it was not sent, or is empty."""
    if not sent.get(name):
        raise Elsewhere
    return sent[name]


def text(value: Any) -> str:
    """PostgreSQL has no text with NUL."""
    found = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    if type(found) is not str or "\0" in found:
        raise Elsewhere
    return found


def texts(value: Any) -> list[str]:
    if type(value) not in (list, tuple):
        raise Elsewhere
    return [text(each) for each in value]


def whole(value: Any) -> int:
    """An integer as clients write it, of 64 bits."""
    if type(value) is not int:
        written = text(value)
        if not written.removeprefix("-").isdecimal() or not written.isascii() or len(written) > 20:
            raise Elsewhere
        value = int(written)
    if not -_LONG <= value < _LONG:
        raise Elsewhere
    return int(value)


def one_of(*names: str) -> Field:
    """An enum's value by its name."""

    def read(value: Any) -> str:
        found = text(value)
        if found not in names:
            raise Elsewhere
        return found

    return read


def number_of(sent: Mapping[str, Any], most: int, usual: int = 0) -> int:
    """How many results at most, `usual` where it was not said. Raises Elsewhere for what MLflow refuses."""
    wanted = sent.get("max_results", usual)
    if not 1 <= wanted <= most:
        raise Elsewhere
    return int(wanted)


def offset_of(sent: Mapping[str, Any]) -> int:
    """How many results a page token leaves out. Raises Elsewhere for one that is none of MLflow's."""
    try:
        offset = SearchUtils.parse_start_offset_from_page_token(sent.get("page_token"))
    except (MlflowException, ValueError, TypeError, AttributeError):
        raise Elsewhere from None
    if type(offset) is not int or not 0 <= offset < _LONG:
        raise Elsewhere
    return offset


def token_for(offset: int) -> bytes:
    """The page token that leaves out so many."""
    token: bytes = SearchUtils.create_page_token(offset)
    return token


def _in_body(body: Body) -> dict[str, Any]:
    given = quickly(body)
    if given is None:
        raise Elsewhere
    return given


def _in_query(query: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    try:
        query.encode("ascii")
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise Elsewhere from None
    for name, value in pairs:
        found[name] = (*found.get(name, ()), value)
    if not found:  # MLflow reads the body then
        raise Elsewhere
    return found
