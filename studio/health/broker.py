"""What waits in Celery's queue, as its broker holds it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import redis
from django.conf import settings

from studio.celery import SENT

QUEUES = ("celery",)
_PATIENCE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    length: int
    oldest: float | None  # seconds; None: nothing waits, or it does not say


@dataclass(frozen=True, slots=True)
class Broker:
    queues: tuple[Queue, ...]
    at_work: int  # messages that a worker has taken and not finished
    version: str
    memory: int  # bytes

    @property
    def waiting(self) -> int:
        return sum(queue.length for queue in self.queues)

    @property
    def oldest(self) -> float | None:
        return max(
            (queue.oldest for queue in self.queues if queue.oldest is not None), default=None
        )


def ask() -> Broker | None:
    """None: Redis does not answer."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
        ) as client:
            pipe = client.pipeline(transaction=False)
            for name in QUEUES:
                pipe.llen(name).lindex(name, -1)
            told = pipe.hlen("unacked").info().execute()
    except redis.RedisError:
        return None
    *queues, at_work, info = told
    pairs = zip(QUEUES, queues[::2], queues[1::2], strict=True)
    return Broker(
        tuple(Queue(name, length, _age(last)) for name, length, last in pairs),
        at_work,
        str(info.get("valkey_version") or info.get("redis_version", "")),
        int(info.get("used_memory", 0)),
    )


def _age(message: bytes | None) -> float | None:
    """How long the oldest has waited: it says when it was sent."""
    if message is None:
        return None
    try:
        return max(0.0, time.time() - float(json.loads(message)["headers"][SENT]))
    except (ValueError, KeyError, TypeError):  # of an earlier version, or nobody's
        return None
