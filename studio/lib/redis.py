"""REDIS_URL in the two forms it is needed in: redis-py's and Celery's."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def embedded_url(socket: Path, password: str) -> str:
    return f"unix://:{quote(password, safe='')}@{socket}?db=0"


def celery_url(url: str) -> str:
    """Celery calls a Unix socket by another scheme."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    return f"redis+socket://:{quote(unquote(parts.password or ''), safe='')}@{parts.path}?virtual_host=0"
