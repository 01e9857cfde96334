"""The connection to MLflow's own server: one pool of Unix socket connections per process."""

from __future__ import annotations

from functools import cache

import httpx
from django.conf import settings

from studio.lib.errors import Unavailable

# Reading waits long: MLflow may search a large database, or receive a model of gigabytes.
_TIMEOUT = httpx.Timeout(600, connect=5, pool=30)
_STOPPED = (
    "MLflow's server is not answering. Studio restarts it by itself: try again in a few seconds."
)


@cache
def client() -> httpx.Client:
    transport = httpx.HTTPTransport(
        uds=str(settings.HOME.reference_socket),
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
    )
    return httpx.Client(transport=transport, timeout=_TIMEOUT, base_url="http://mlflow")


def send(request: httpx.Request) -> httpx.Response:
    """Send, and return as soon as the answer's headers are there. Raises Unavailable when nobody answers."""
    try:
        return client().send(request, stream=True)
    except (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.RemoteProtocolError,
        httpx.ReadError,
    ) as failure:
        raise Unavailable(_STOPPED) from failure
