"""Reads what charts are sent, as their pages do."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NamedTuple

from django.db import connection
from django.test import Client

from tracking.models import Run


class Line(NamedTuple):
    """A series as it came: its header, and its points, pairs or quadruples."""

    told: dict[str, Any]
    points: list[tuple[float, ...]]

    @property
    def steps(self) -> list[float]:
        return [point[0] for point in self.points]

    @property
    def values(self) -> list[float | str]:
        """The last of each; what is not finite by its name, since NaN is not equal to itself."""
        return [named(point[-1]) for point in self.points]


def named(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def unpacked(content: bytes) -> list[Line]:
    (length,) = struct.unpack_from(">I", content)
    header = json.loads(content[4 : 4 + length])
    found, place = [], 4 + length
    for told in header["series"]:
        width = 2 if told["whole"] else 4
        size = 8 * width * told["points"]
        numbers = struct.unpack_from(f">{width * told['points']}d", content, place)
        found.append(Line(told, [numbers[i : i + width] for i in range(0, len(numbers), width)]))
        place += size
    assert place == len(content)
    assert (4 + length) % 8 == 0
    return found


def ask(client: Client, runs: list[Run], keys: list[str], **more: Any) -> list[Line]:
    given = {"runs": [run.pk for run in runs], "keys": keys, "axis": "step", "buckets": 100} | more
    answer = client.post("/series/", json.dumps(given), content_type="application/json")
    assert answer.status_code == 200, answer.content
    return unpacked(answer.content)


def log_many(run: Run, expression: str, points: int, key: str = "loss") -> None:
    """Points at steps 0, 1, … and ten milliseconds between them; `expression` is SQL over `step`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan)"  # noqa: S608 - ours
            f" SELECT %s, %s, step, 1700000000000 + step * 10, {expression}, false FROM generate_series(0, %s) step",
            [run.pk, key, points - 1],
        )
