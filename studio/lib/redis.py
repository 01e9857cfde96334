"""REDIS_URL in the two forms it is needed in: redis-py's and Celery's."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


def embedded_url(socket: Path, password: str) -> str:
    return f"unix://:{quote(password, safe='')}@{quote(str(socket))}?db=0"


def celery_url(url: str) -> str:
    """Celery calls a Unix socket by another scheme."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    login = f"{parts.username or ''}:{parts.password or ''}"
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{login}@{parts.path}?virtual_host={database}"
