"""Who asked, where a proxy stands before Studio: its word counts if its address is in STUDIO_TRUSTED_PROXIES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

Address = IPv4Address | IPv6Address

_FOR, _PROTO, _HOST = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"
# All that say something of an earlier connection: nothing behind here reads them.
_CLAIMS = (
    _FOR,
    _PROTO,
    _HOST,
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
)


class ForwardedHeaders:
    """Puts the client's address, scheme and host in the place of the proxy's, and drops the headers themselves.

    The first of all middleware: whatever comes after it reads REMOTE_ADDR and Host as if there were no proxy.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        settle(request.META)
        return self.get_response(request)


def settle(environ: dict[str, Any]) -> None:
    """Write into a WSGI environment who asks, and how, by what a trusted proxy says. A second time changes nothing."""
    claims = {name: environ.pop(name) for name in _CLAIMS if name in environ}
    if not claims:
        return
    peer = _address(environ.get("REMOTE_ADDR", ""))
    if peer is not None and _trusted(peer):
        environ["REMOTE_ADDR"] = str(_client(peer, claims.get(_FOR, "")))
        scheme = _last(claims.get(_PROTO, "")).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if host := _last(claims.get(_HOST, "")):
            environ["HTTP_HOST"] = host  # compared with STUDIO_ALLOWED_HOSTS


def _client(peer: Address, chain: str) -> Address:
    """The last address of the chain that is no trusted proxy's: the next one to the right has seen it itself.

    What stands left of it anybody may have written. Where an entry cannot be read, the proxy that wrote it is
    the last that is known.
    """
    known = peer
    for entry in _from_the_right(chain):
        found = _address(entry)
        if found is None:
            return known
        known = found
        if not _trusted(found):
            return found
    return known


def _trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _from_the_right(chain: str) -> Iterator[str]:
    """The entries, as they are asked for: a chain of thousands costs no more than is read of it."""
    rest, comma = chain, ","
    while comma:
        rest, comma, entry = rest.rpartition(",")
        yield entry.strip()


def _last(values: str) -> str:
    """What the nearest proxy has said, where a header came more than once."""
    return values.rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """An address as proxies write it: 10.0.0.7, 10.0.0.7:1234, 2001:db8::7, [2001:db8::7]:1234."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found
