"""JSON made by PostgreSQL: pieces of SQL whose values are JSON text. Joined as text, which takes a third of what its JSON functions take."""

from __future__ import annotations

from collections.abc import Mapping


def quoted(column: str) -> str:
    return f"to_json({column}::text)::text"


def number(column: str, nan: str = '"NaN"') -> str:
    """A float. JSON has no word for NaN and infinities: protobuf writes them as text. A zero keeps its sign as a float only."""
    return (
        f"CASE WHEN {column} = 0 THEN {column}::text || '.0'"
        f" WHEN abs({column}) <= 1.7976931348623157e308 THEN {column}::text"
        f" WHEN {column} = 'NaN' THEN '{nan}' WHEN {column} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"
    )


def metric_number(row: str, nan: str = '"NaN"') -> str:
    """The value of a row of MLflow's metrics, where NaN is 0 and a mark."""
    return f"CASE WHEN {row}.is_nan THEN '{nan}' ELSE {number(f'{row}.value')} END"


def record(always: Mapping[str, str], perhaps: Mapping[str, str] | None = None) -> str:
    """An object. Of `perhaps` a field is left out where its SQL is NULL."""
    parts = [
        f"""'{"," if place else "{"}"{name}":' || {value}"""
        for place, (name, value) in enumerate(always.items())
    ]
    parts += [
        f"""coalesce(',"{name}":' || {value}, '')""" for name, value in (perhaps or {}).items()
    ]
    return " || ".join([*parts, "'}'"])


def listed(item: str, source: str) -> str:
    """A subquery: the items as a list's JSON, or NULL where there are none."""
    return f"(SELECT '[' || string_agg({item}, ',') || ']' FROM {source})"  # noqa: S608 - constants


def lists(**perhaps: str) -> str:
    """An object of lists, each left out where it is NULL."""
    pieces = ", ".join(f"""'"{name}":' || {value}""" for name, value in perhaps.items())
    return f"'{{' || concat_ws(',', {pieces}) || '}}'"
