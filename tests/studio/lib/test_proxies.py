"""Who asked, through proxies that are trusted and past those that are not."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from studio.accounts.limiter import ALLOWED
from studio.accounts.models import Attempts, AuditEvent, User
from studio.lib.env import Network
from studio.lib.proxies import ForwardedHeaders

_HEADERS = [
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
]


@pytest.fixture(autouse=True)
def trusted(settings: Settings) -> None:
    networks: tuple[Network, ...] = (
        ip_network("127.0.0.1"),
        ip_network("10.1.0.0/16"),
        ip_network("fd00::/8"),
    )
    settings.TRUSTED_PROXIES = networks


def seen(peer: str, **headers: str) -> HttpRequest:
    """The request as all that comes after sees it."""
    found: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append(request)
        return HttpResponse()

    given: dict[str, Any] = {f"HTTP_{name.upper()}": told for name, told in headers.items()}
    ForwardedHeaders(view)(RequestFactory().get("/", REMOTE_ADDR=peer, **given))
    return found[0]


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),  # the first is the client's own word
        ("127.0.0.1", "6.6.6.6,198.51.100.7 , 10.1.2.3", "198.51.100.7"),
        ("127.0.0.1", "10.1.9.9, 10.1.2.3", "10.1.9.9"),  # all are proxies: the farthest
        ("127.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:127.0.0.1", "198.51.100.7", "198.51.100.7"),  # as a socket for both families tells it
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, unknown", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "6.6.6.6,", "127.0.0.1"),
        ("127.0.0.1", "[", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4\x00", "127.0.0.1"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),  # no proxy of ours
        ("", "198.51.100.7", ""),  # a Unix socket has no address
        ("no address", "198.51.100.7", "no address"),
    ],
)  # fmt: skip
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(
    peer: str, chain: str, client: str
) -> None:
    assert seen(peer, x_forwarded_for=chain).META["REMOTE_ADDR"] == client


def test_a_chain_of_a_hundred_thousand_is_read_from_its_end() -> None:
    began = time.monotonic()
    request = seen("127.0.0.1", x_forwarded_for="6.6.6.6, " * 100_000 + "198.51.100.7, 10.1.2.3")
    assert request.META["REMOTE_ADDR"] == "198.51.100.7"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9"])
def test_nothing_behind_reads_a_forwarded_header(peer: str) -> None:
    given: dict[str, Any] = dict.fromkeys(_HEADERS, "http")
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **given)
    ForwardedHeaders(lambda request: HttpResponse())(request)
    assert [name for name in request.META if name in _HEADERS] == []


@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "HTTPS", True),
        ("127.0.0.1", "http", False),
        ("127.0.0.1", "https, http", False),  # the nearest proxy's word
        ("127.0.0.1", "javascript", False),
        ("127.0.0.1", "", False),
        ("203.0.113.9", "https", False),
    ],
)
def test_the_scheme_is_the_proxy_s_word(peer: str, proto: str, secure: bool) -> None:
    assert seen(peer, x_forwarded_proto=proto).is_secure() is secure


@pytest.mark.parametrize(
    ("peer", "host", "status"),
    [
        ("127.0.0.1", "localhost", 200),
        ("127.0.0.1", "evil.example", 400),  # not in STUDIO_ALLOWED_HOSTS, whoever says it
        ("203.0.113.9", "evil.example", 200),  # its Host header counts, which names Studio
    ],
)
@pytest.mark.django_db
def test_the_host_is_the_proxy_s_word_and_must_still_be_ours(
    peer: str, host: str, status: int
) -> None:
    answer = Client().get(
        "/login/", REMOTE_ADDR=peer, HTTP_HOST="127.0.0.1", HTTP_X_FORWARDED_HOST=host
    )
    assert answer.status_code == status


def fail(client: Client, chain: str, peer: str = "127.0.0.1") -> int:
    return client.post(
        "/login/",
        {"username": "bob", "password": "wrong"},
        REMOTE_ADDR=peer,
        HTTP_X_FORWARDED_FOR=chain,
    ).status_code


def test_guessing_through_a_proxy_locks_out_the_client_and_nobody_else_behind_it(bob: User) -> None:
    client = Client()
    for guess in range(
        ALLOWED
    ):  # another invented address each time, left of the proxy's own entry
        assert fail(client, f"10.9.8.{guess}, 198.51.100.7") != 429
    assert fail(client, "10.9.8.77, 198.51.100.7") == 429
    assert fail(client, "198.51.100.8") != 429
    assert AuditEvent.objects.get(action="lock_out").target == "bob from 198.51.100.7"


def test_who_is_no_proxy_cannot_give_himself_another_address(bob: User) -> None:
    client = Client()
    for guess in range(ALLOWED):
        fail(client, f"198.51.100.{guess}", peer="203.0.113.9")
    assert fail(client, "198.51.100.99", peer="203.0.113.9") == 429
    assert [row.address for row in Attempts.objects.all()] == ["203.0.113.9"]
