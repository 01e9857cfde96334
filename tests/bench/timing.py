"""What each row is measured with: a connection that is kept, sides that take turns, a mark to hold."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Literal
from urllib.parse import urlsplit

Side = Callable[[], object]


@dataclass(frozen=True)
class Result:
    """A row of the table: what was measured on each side, and the figure that has a mark."""

    name: str
    sides: Mapping[str, str]
    figure: float
    unit: str
    rule: Literal["at most", "at least"]
    mark: float

    @property
    def holds(self) -> bool:
        return self.figure <= self.mark if self.rule == "at most" else self.figure >= self.mark


class Caller:
    """A client with one connection, which asks as one user. It costs less than what it measures."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> bytes:
        return self._asked("GET", path)

    def post(self, path: str, content: bytes) -> bytes:
        """Of JSON."""
        return self._asked("POST", path, content, {"Content-Type": "application/json"})

    def _asked(
        self, method: str, path: str, content: bytes | None = None, more: Mapping[str, str] = {}
    ) -> bytes:
        self._connection.request(method, path, content, {**self._headers, **more})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {body[:500]!r}")
        return body

    def close(self) -> None:
        self._connection.close()


def take_turns(sides: Mapping[str, Side], *, rounds: int, each: int) -> dict[str, float]:
    """Seconds that each side takes at p50, of `rounds` times `each` calls.

    The sides take turns, so that what else happens on the machine meets all of them. A first round is not
    counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            taken = [_seconds(side) for _ in range(each)]
            seconds[name] += taken if number else []
    return {name: median(taken) for name, taken in seconds.items()}


def _seconds(side: Side) -> float:
    began = perf_counter()
    side()
    return perf_counter() - began
