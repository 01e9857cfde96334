"""The statements that the lane sends, noted, so that others can explain them and send them again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import psycopg
from psycopg import sql

from studio.lane import wires

_PARAMETER = r"%\((\w+)\)s"


class Sent(NamedTuple):
    statement: str
    values: Mapping[str, Any]

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(re.findall(_PARAMETER, self.statement)))

    @property
    def numbered(self) -> str:
        """With $1 for the parameter that is named first, as the driver sends it."""
        names = self._names
        text = re.sub(_PARAMETER, lambda found: f"${names.index(found[1]) + 1}", self.statement)
        return text.replace("%%", "%")

    def executed(self, name: str, connection: psycopg.Connection[Any]) -> str:
        """The EXECUTE of it, prepared under this name, with what it was given."""
        values = (sql.Literal(self.values[name]).as_string(connection) for name in self._names)
        return f"EXECUTE {name}({', '.join(values)})"


@contextmanager
def read() -> Iterator[list[tuple[str, Any]]]:
    """What the lane asks in this process while the block runs, each with its values, on its way."""
    seen, send = list[tuple[str, Any]](), wires.Reader.rows

    def noting(reader: wires.Reader, statement: bytes, given: Any, **how: Any) -> Any:
        seen.append((statement.decode(), given))
        return send(reader, statement, given, **how)

    with patch.object(wires.Reader, "rows", noting):
        yield seen


@contextmanager
def noted() -> Iterator[list[Sent]]:
    """All that the lane sends in this process while the block runs, on its way."""
    seen, send = list[Sent](), wires.run

    def noting(statement: bytes, values: Mapping[str, Any]) -> Any:
        seen.append(Sent(statement.decode(), values))
        return send(statement, values)

    with patch.object(wires, "run", noting):
        yield seen
