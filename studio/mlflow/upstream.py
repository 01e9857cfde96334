"""The connection to MLflow's own server: one pool of Unix socket connections per process."""

from __future__ import annotations

from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from django.conf import settings

from studio.lib.errors import Unavailable

# Reading waits long: MLflow may search a large database, or receive a model of gigabytes.
_TIMEOUT = httpx.Timeout(600, connect=5, pool=30)
_STOPPED = (
    "MLflow's server is not answering. Studio restarts it by itself: try again in a few seconds."
)
_SLOW = "MLflow's server takes too long to answer. Try again in a moment, or ask it for less."


@cache
def client() -> httpx.Client:
    transport = httpx.HTTPTransport(
        uds=str(settings.HOME.reference_socket),
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
    )
    # What MLflow would set as a cookie for one user must not be sent for the next.
    none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.Client(
        transport=transport, timeout=_TIMEOUT, base_url="http://mlflow", cookies=none
    )


def send(request: httpx.Request) -> httpx.Response:
    """Send, and return as soon as the answer's headers are there. Raises Unavailable when none come."""
    try:
        return client().send(request, stream=True)
    except httpx.ConnectTimeout as failure:
        raise Unavailable(_STOPPED) from failure
    except httpx.TimeoutException as failure:
        raise Unavailable(_SLOW) from failure
    except (httpx.NetworkError, httpx.RemoteProtocolError) as failure:
        raise Unavailable(_STOPPED) from failure
