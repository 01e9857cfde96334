"""Text for people."""

from __future__ import annotations

import json
import re
from typing import Any

# A string, or a word that Python writes otherwise.
_JSON_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|true|false|null|NaN|Infinity')
_IN_PYTHON = {
    "true": "True",
    "false": "False",
    "null": "None",
    "NaN": 'float("nan")',
    "Infinity": 'float("inf")',
}
_INDENT = re.compile(r"^ +", re.MULTILINE)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def readable_json(value: Any) -> str:
    """JSON with each part of an object, and each row of a table, on a line of its own."""
    written = _written(value, "") if isinstance(value, dict | list) else json.dumps(value)
    # Half a character can be said in JSON and in no page.
    return _HALF_CHARACTER.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def python_literal(readable: str) -> str:
    """What `readable_json` has written, as a Python literal: the strings of one are strings of the other."""
    told = _JSON_WORD.sub(lambda found: _IN_PYTHON.get(found[0], found[0]), readable)
    return _INDENT.sub(lambda found: found[0] * 2, told)


def _written(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_written(item, deeper)}"
            for key, item in value.items()
        ]
        return _block("{", parts, "}", indent)
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return _block("[", [json.dumps(item, ensure_ascii=False) for item in value], "]", indent)
    return json.dumps(value, ensure_ascii=False)


def _block(opening: str, parts: list[str], closing: str, indent: str) -> str:
    inner = ",\n".join(f"{indent}  {part}" for part in parts)
    return f"{opening}\n{inner}\n{indent}{closing}"


def sized(count: int) -> str:
    """A number of bytes: 512 B, 34 kB, 1.2 GB."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def counted(count: int, thing: str) -> str:
    """1 file, 2,000 files."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
