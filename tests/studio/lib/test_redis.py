"""REDIS_URL as redis-py and Celery read it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import redis
from kombu import Connection
from kombu.utils.url import url_to_parts

from studio.lib.redis import address, celery_url, embedded_url, refuse_unreadable


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p%40ss%2F@h:6380/2",
        "redis://u:p@h?db=3",
        "rediss://u:p%3Aw@[2001:db8::1]:6380/1",
        "rediss://h/1?ssl_check_hostname=false",
        "rediss://h/1?ssl_cert_reqs=none",
    ],
)
def test_celery_reaches_the_same_server_and_database_as_everybody_else(url: str) -> None:
    refuse_unreadable(url)
    wanted = redis.ConnectionPool.from_url(url).connection_kwargs
    found = Connection(celery_url(url))
    assert (found.hostname, found.port or 6379) == (wanted["host"], wanted.get("port", 6379))
    assert (found.userid, found.password) == (wanted.get("username"), wanted.get("password"))
    assert int(found.virtual_host) == wanted.get("db", 0)
    assert bool(found.ssl) is url.startswith("rediss")


def test_celery_reaches_a_socket_by_its_path() -> None:
    url = embedded_url(Path("/run/a b/redis.sock"), "p/w")
    refuse_unreadable(url)
    found = url_to_parts(Connection(celery_url(url)).hostname)
    assert (found.path, found.password) == ("run/a b/redis.sock", "p/w")
    assert found.query == {"virtual_host": "0"}


@pytest.mark.parametrize(
    ("url", "required"),
    [("rediss://h", True), ("rediss://h?ssl_cert_reqs=none", False)],
)
def test_celery_checks_the_certificate_unless_it_is_told_not_to(url: str, required: bool) -> None:
    """kombu by itself checks none."""
    asked = Connection(celery_url(url)).ssl["ssl_cert_reqs"]
    assert (asked is ssl.CERT_REQUIRED) is required


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://u:geheim@h:6380/2", "redis://u@h:6380/2"),
        ("rediss://:geheim@h?db=2&ssl_cert_reqs=none", "rediss://h/2"),
        ("redis://:geheim@[2001:db8::1]", "redis://[2001:db8::1]/0"),
        ("unix://:geheim@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_people_are_told_the_address_without_the_password(url: str, told: str) -> None:
    assert address(url) == told
