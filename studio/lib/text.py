"""Text for people."""

from __future__ import annotations

import json
from typing import Any


def readable_json(value: Any) -> str:
    """JSON with each part of an object, and each row of a table, on a line of its own."""
    return _written(value, "") if isinstance(value, dict | list) else json.dumps(value)


def _written(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        parts = [f"{json.dumps(key)}: {_written(item, deeper)}" for key, item in value.items()]
        return _block("{", parts, "}", indent)
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return _block("[", [json.dumps(item, ensure_ascii=False) for item in value], "]", indent)
    return json.dumps(value, ensure_ascii=False)


def _block(opening: str, parts: list[str], closing: str, indent: str) -> str:
    inner = ",\n".join(f"{indent}  {part}" for part in parts)
    return f"{opening}\n{inner}\n{indent}{closing}"
