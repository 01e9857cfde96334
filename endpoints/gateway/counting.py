"""What the gateway counts: plain numbers in memory, without a lock, since one thread answers everything.

They begin anew with the process, which Prometheus expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from hmac import compare_digest
from os import getpid

from endpoints.gateway.reply import NOBODY, Reply
from endpoints.gateway.table import LiveTable
from studio.lib.memory import memory_of
from studio.lib.metrics import Family, add, empty_times

_CLASSES = (
    "gone",
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
)  # gone: the caller, before there was an answer


class Series:
    """Of one deployment; the one without a name is of requests that reached none."""

    __slots__ = ("statuses", "times")

    def __init__(self) -> None:
        self.statuses = [0] * len(_CLASSES)
        self.times = empty_times()


class Counting:
    def __init__(self, token: str) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.refused: dict[int, int] = {}  # by status: no endpoint is known, or may be told
        self.in_flight: dict[str, int] = {}
        self._token = f"Bearer {token}".encode() if token else b""

    @property
    def open(self) -> bool:
        """Whether there is a token, without which nothing is told."""
        return bool(self._token)

    def admits(self, authorization: bytes) -> bool:
        return self.open and compare_digest(authorization, self._token)

    def begin(self, endpoint: str) -> None:
        self.in_flight[endpoint] = self.in_flight.get(endpoint, 0) + 1

    def end(self, endpoint: str) -> None:
        self.in_flight[endpoint] -= 1

    def answered(self, reply: Reply, seconds: float) -> None:
        if reply.endpoint == NOBODY:
            if reply.status >= 400:
                self.refused[reply.status] = self.refused.get(reply.status, 0) + 1
            return
        key = (reply.endpoint, reply.deployment)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        series.statuses[reply.status // 100] += 1
        add(series.times, seconds)

    def families(self, table: LiveTable) -> Iterator[Family]:
        requests = Family(
            "studio_gateway_requests_total", "counter", "Predictions, by their status."
        )
        took = Family("studio_gateway_request_seconds", "histogram", "Until all was sent.")
        for (endpoint, deployment), series in sorted(self.series.items()):
            labels = {
                "endpoint": endpoint,
                "deployment": "" if deployment == NOBODY else deployment,
            }
            for status, number in zip(_CLASSES, series.statuses, strict=True):
                if number:
                    requests.add(number, **labels, status=status)
            took.add_times(series.times, **labels)
        in_flight = Family("studio_gateway_in_flight", "gauge", "Predictions under way.")
        for endpoint, number in sorted(self.in_flight.items()):
            in_flight.add(number, endpoint=endpoint)
        refused = Family(
            "studio_gateway_refused_total",
            "counter",
            "Requests that were let through to no endpoint.",
        )
        for told, number in sorted(self.refused.items()):
            refused.add(number, status=str(told))
        yield from (requests, took, in_flight, refused, *_of_process(table))


def _of_process(table: LiveTable) -> Iterator[Family]:
    lost = Family("studio_gateway_database_up", "gauge", "Whether it hears of changes.")
    lost.add(table.connected)
    age = Family("studio_gateway_routes_age_seconds", "gauge", "Since it has read its routes.")
    age.add(table.age)
    memory = Family("studio_gateway_memory_bytes", "gauge", "What this process holds.")
    memory.add(memory_of(getpid()))
    yield from (lost, age, memory)
