"""Many writers of one run at once: what they send, what they were told, and what must then be in the tables."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.lane import Point, Wire, latest_of, named_in, pairs, points_in
from tests.support.live import Studio

NAME = "mlflow.runName"
_KEYS = ["loss", "val/loss", "Å", "a b", "A", "z.z", "_", "m-1"]
_VALUES = [0.5, -1.0, 3.25, float("inf"), float("-inf"), 1e-300]
Send = Callable[[str, dict[str, Any]], tuple[int, str]]


class Told(NamedTuple):
    """A request and its answer. Times are monotonic seconds."""

    route: str
    body: dict[str, Any]
    status: int
    answer: str
    began: float
    ended: float

    @property
    def stored(self) -> bool:
        return self.status == 200


class Requests:
    """What one writer sends: the keys that all others write too, in an order of its own."""

    def __init__(self, run_id: str, writer: int, seed: int) -> None:
        self._run_id = run_id
        self._writer = writer
        self._random = random.Random(seed * 1000 + writer)  # noqa: S311 - no secret
        self._sent = 0

    def batch(self) -> tuple[str, dict[str, Any]]:
        keys = self._random.sample(_KEYS, self._random.randint(1, 6))
        body = {
            "metrics": [self._point().sent for _ in range(self._random.randint(1, 30))],
            "params": pairs({key: self._param(key) for key in keys}),
            "tags": pairs({key: self._value() for key in self._tags()}),
        }
        for part in self._random.sample(sorted(body), self._random.randint(0, 2)):
            del body[part]
        return "log-batch", body

    def metric(self) -> tuple[str, dict[str, Any]]:
        return "log-metric", self._point().sent

    def param(self) -> tuple[str, dict[str, Any]]:
        key = self._random.choice(_KEYS)
        return "log-parameter", {"key": key, "value": self._param(key)}

    def tag(self) -> tuple[str, dict[str, Any]]:
        return "set-tag", {"key": self._random.choice([*_KEYS, NAME]), "value": self._value()}

    def untag(self) -> tuple[str, dict[str, Any]]:
        return "delete-tag", {"key": self._random.choice(_KEYS)}

    def update(self) -> tuple[str, dict[str, Any]]:
        name = {"run_name": self._value()} if self._random.random() < 0.7 else {}
        return "update", {"status": self._random.choice(["RUNNING", "FINISHED"]), **name}

    def inputs(self) -> tuple[str, dict[str, Any]]:
        tags = [{"key": "mlflow.data.context", "value": "training"}]
        some = [
            {"dataset": {"name": name, "digest": "d", "source_type": "local", "source": "s"}, "tags": tags}
            for name in self._random.sample(_KEYS, self._random.randint(1, 4))
        ]  # fmt: skip
        return "log-inputs", {"datasets": some}

    def some(self, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        kinds = {
            self.batch: 6,
            self.metric: 4,
            self.param: 2,
            self.tag: 4,
            self.untag: 1,
            self.update: 3,
            self.inputs: 1,
        }
        for kind in self._random.choices(list(kinds), list(kinds.values()), k=count):
            route, body = kind()
            yield route, {"run_id": self._run_id, **body}

    def _point(self) -> Point:
        """Few of each key: most points are sent by several writers, and many differ in one thing alone."""
        step, timestamp = self._random.randrange(-2, 12), self._random.randrange(3)
        if self._random.random() < 0.05:
            return Point.of(self._random.choice(_KEYS), float("nan"), 9, step)
        return Point.of(self._random.choice(_KEYS), self._random.choice(_VALUES), timestamp, step)

    def _param(self, key: str) -> str:
        """Mostly what all others say of it."""
        return key if self._random.random() < 0.9 else self._value()

    def _tags(self) -> list[str]:
        return self._random.sample([*_KEYS, NAME], self._random.randint(1, 6))

    def _value(self) -> str:
        """One that nobody else writes."""
        self._sent += 1
        return f"{self._writer}-{self._sent}"


@contextmanager
def sender(studio: Studio, token: str) -> Iterator[Send]:
    """A connection to a running Studio, which stays open. Routes are those below `mlflow/runs/`."""
    wire = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(route: str, body: dict[str, Any]) -> tuple[int, str]:
        wire.request("POST", f"/api/2.0/mlflow/runs/{route}", json.dumps(body), headers)
        told = wire.getresponse()
        return told.status, told.read().decode()

    with closing(wire):
        yield send


def create_run(studio: Studio, token: str) -> str:
    """In an experiment of its own."""
    with studio.client(token) as api:
        name = {"name": f"together {uuid.uuid4()}"}
        made = api.post("/api/2.0/mlflow/experiments/create", json=name).json()
        run = api.post("/api/2.0/mlflow/runs/create", json=made).json()
    return str(run["run"]["info"]["run_id"])


def write_together(
    connect: Callable[[], AbstractContextManager[Send]], writers: list[Requests], count: int
) -> list[Told]:
    """Each sends that many requests one after the other by a connection of its own, all of them at once."""
    told: list[Told] = []
    start = threading.Barrier(len(writers))

    def write(writer: Requests) -> None:
        with connect() as send:
            start.wait(60)
            for route, body in writer.some(count):
                began = time.monotonic()
                status, answer = send(route, body)
                told.append(Told(route, body, status, answer, began, time.monotonic()))

    threads = [threading.Thread(target=write, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(writers) * count, "a writer has ended early"
    return told


@dataclass
class Outcome:
    """What stands in the tables against what its writers were told."""

    told: list[Told]
    wire: Wire
    run_id: str
    stored: list[Told] = field(init=False)

    def __post_init__(self) -> None:
        self.stored = [one for one in self.told if one.stored]

    def check(self) -> None:
        self.check_answers()
        self.check_points()
        self.check_params()
        self.check_tags()
        self.check_run()
        self.check_inputs()

    def check_answers(self) -> None:
        """Whoever is refused is refused for what he asks, and never for who else does."""
        for one in self.told:
            if not one.stored:
                assert one.status in (400, 404), one
                assert any(word in one.answer for word in _REFUSALS[one.route]), one

    def check_points(self) -> None:
        acknowledged = {point for one in self.stored for point in _points_of(one.body)}
        found = points_in(self.wire, self.run_id)
        assert Counter(found) == Counter(acknowledged)
        latest = points_in(self.wire, self.run_id, "latest_metrics")
        assert Counter(latest) == Counter(latest_of(acknowledged))

    def check_params(self) -> None:
        found = named_in(self.wire, self.run_id, "params")
        acknowledged = {
            (key, value)
            for one in self.stored
            for key, value in _named(one, "log-parameter", "params")
        }
        assert acknowledged == set(found.items())

    def check_tags(self) -> None:
        found = named_in(self.wire, self.run_id, "tags")
        for key in _KEYS:
            assert found.get(key) in self._last(key), key
        assert found[NAME] in self._last(NAME)

    def check_run(self) -> None:
        """The name is told in two places, which say the same."""
        told = self.wire.execute("SELECT name FROM runs WHERE run_uuid = %s", [self.run_id])
        assert told.fetchall() == [(named_in(self.wire, self.run_id, "tags")[NAME],)]

    def check_inputs(self) -> None:
        """Every dataset is there once, and once the run's."""
        found = self.wire.execute(_INPUTS, [self.run_id]).fetchall()
        sent = [item for one in self.stored for item in one.body.get("datasets", [])]
        acknowledged = {(item["dataset"]["name"], "mlflow.data.context") for item in sent}
        assert Counter(found) == Counter(acknowledged)

    def _last(self, key: str) -> set[str | None]:
        """The values of which one must be there at the end: those that no later write can have replaced."""
        writes = [(one, value) for one in self.stored for value in _tag_values(one, key)]
        begun = max((one.began for one, _ in writes), default=0.0)
        return {value for one, value in writes if one.ended > begun} or {None}


_INPUTS = """
SELECT d.name, t.name FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid
WHERE i.destination_id = %s AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
"""
_STAGE = "must be in the 'active' state"
_REFUSALS = {
    "log-batch": ["Changing param values", _STAGE],
    "log-parameter": ["Changing param values", _STAGE],
    "log-metric": [_STAGE],
    "set-tag": [_STAGE],
    "delete-tag": ["No tag with name", _STAGE],
    "update": [_STAGE],
    "log-inputs": [_STAGE],
}


def _points_of(body: dict[str, Any]) -> list[Point]:
    sent = body.get("metrics", [body] if "timestamp" in body else [])
    return [
        Point.of(one["key"], float(one["value"]), one["timestamp"], one["step"]) for one in sent
    ]


def _named(one: Told, alone: str, many: str) -> list[tuple[str, str]]:
    """The params or tags of a request that sets one, or several."""
    if one.route == alone:
        return [(one.body["key"], one.body["value"])]
    return [(pair["key"], pair["value"]) for pair in one.body.get(many, [])]


def _tag_values(one: Told, key: str) -> list[str | None]:
    """What a request makes of this tag."""
    if one.route == "update" and key == NAME and "run_name" in one.body:
        return [one.body["run_name"]]
    if one.route == "delete-tag":
        return [None] if one.body["key"] == key else []
    return [value for name, value in _named(one, "set-tag", "tags") if name == key]
