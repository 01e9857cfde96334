"""A Celery worker's sign of life: a key in Redis that lives 15 s, renewed every few."""

from __future__ import annotations

from functools import cache

import redis
from django.conf import settings

_KEY = "studio:worker-seen"
_SECONDS = 15


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=3)


def worker_is_here() -> None:
    _client().set(_KEY, "1", ex=_SECONDS)


def worker_seen_recently() -> bool:
    """Raises redis.RedisError when Redis does not answer."""
    return bool(_client().exists(_KEY))
