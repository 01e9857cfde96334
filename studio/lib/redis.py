"""REDIS_URL in the two forms it is needed in, redis-py's and Celery's; and whether it can be used."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

# What both clients understand, in an address of each kind.
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS = {*_FILES, "ssl_cert_reqs", "ssl_check_hostname"}
_REQUIREMENTS = ("required", "optional", "none")
_PATIENCE = 5.0  # seconds
# How long a server that says nothing is believed to be there: 20 s, and three questions 5 s apart.
KEEPALIVE = {
    getattr(socket, name): seconds
    for name, seconds in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
# What a server says, and what to do about it.
_ADVICE = (
    (
        r"WRONGPASS|invalid password|invalid username|NOAUTH|without any password",
        "Correct the user or the password",
    ),
    (
        r"certificate|SSL|hostname|TLS",
        "rediss://, ssl_ca_certs and the server's certificate must fit",
    ),
    (r"DB index", "Databases are numbered from 0 to 15, unless the server has fewer"),
    (r"read only|READONLY", "It is a replica, which takes no writes. Name the primary"),
    (r"NOPERM|permission", "Give this user all commands and keys"),
    (r"Protocol Error|Invalid|unexpected", "This is no Redis: correct the address"),
    (
        r"closed by server|reset by peer",
        "Is it a Redis, and does it ask for TLS, rediss:// that is?",
    ),
    (r"loading|LOADING|MASTERDOWN|max number of clients", "Try again in a moment"),
)


def embedded_url(place: Path, password: str) -> str:
    return f"unix://:{quote(password, safe='')}@{quote(str(place))}?db=0"


def celery_url(url: str) -> str:
    """Celery calls a Unix socket by another scheme, and checks no certificate unless it is told to."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        login = f"{parts.username or ''}:{parts.password or ''}"
        return f"redis+socket://{login}@{parts.path}?virtual_host={query.get('db', '0')}"
    number = query.pop("db", parts.path.strip("/") or "0")
    if parts.scheme == "rediss":
        query.setdefault("ssl_cert_reqs", "required")
    return f"{parts.scheme}://{parts.netloc}/{number}" + (f"?{urlencode(query)}" if query else "")


def refuse_unreadable(url: str) -> None:
    """Raises ImproperlyConfigured where the two clients would not understand it, or not the same."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if told := _misread(parts, query):
        raise ImproperlyConfigured(f"REDIS_URL: {told}")


def _misread(parts: SplitResult, query: dict[str, str]) -> str:
    known = {"db"} | (_TLS if parts.scheme == "rediss" else set())
    if unknown := sorted(query.keys() - known):
        return f"{unknown[0]} is nothing that can be set here; known are {', '.join(sorted(known))}"
    if parts.scheme == "unix" and not parts.path.strip("/"):
        return "write the path of the socket: unix:///run/redis/redis.sock"
    if parts.scheme != "unix" and not parts.hostname:
        return f"names no host: write {parts.scheme}://host:6379/0"
    number = query.get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/")) or "0"
    if not re.fullmatch(r"[0-9]{1,5}", number):
        return "the database is a number, 0 say"
    if query.get("ssl_cert_reqs", "required") not in _REQUIREMENTS:
        return f"ssl_cert_reqs is one of {', '.join(_REQUIREMENTS)}"
    if query.get("ssl_check_hostname", "true") not in ("true", "false"):
        return "ssl_check_hostname is true or false"
    missing = [name for name in _FILES if name in query and not Path(query[name]).is_file()]
    return f"{missing[0]}={query[missing[0]]}: there is no such file" if missing else ""


def address(url: str) -> str:
    """Where it is, for people: no password, and no parameters."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    number = dict(parse_qsl(parts.query)).get("db", "0")
    path = unquote(parts.path) if parts.scheme == "unix" else parts.path.rstrip("/") or f"/{number}"
    return f"{parts.scheme}://{user}{host}{port}{path}"


def refuse_unusable(url: str) -> None:
    """Raises ImproperlyConfigured, one line without a password, where tasks cannot be queued."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            client.set("studio:start", "1", ex=1)
    except (redis.RedisError, OSError) as failure:
        said = str(failure).splitlines()[0].rstrip(".") or type(failure).__name__
        otherwise = "Start Redis there, or correct the address"
        advice = next((told for words, told in _ADVICE if re.search(words, said)), otherwise)
        line = f"REDIS_URL: {address(url)}: {said}. {advice}"
        password = unquote(urlsplit(url).password or "")
        raise ImproperlyConfigured(
            line.replace(password, "***") if len(password) > 3 else line
        ) from None
