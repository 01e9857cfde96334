"""From settings to a gateway that listens, until SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import resource
import signal
import socket

import uvicorn
import uvloop
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from endpoints.gateway.app import Gateway
from endpoints.gateway.front import Front
from endpoints.gateway.limits import Limits
from endpoints.gateway.pool import Pool
from endpoints.gateway.table import LiveTable

DRAIN = 3  # seconds for what is under way when we are asked to end
KEEP_ALIVE = 75  # seconds that an idle client stays connected
BACKLOG = 2048

log = logging.getLogger(__name__)


def run(limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT. Raises ImproperlyConfigured when the address cannot be had."""
    with listen(settings.BIND, settings.SCORING_PORT) as listener:
        _allow_many_connections()
        # What was imported stays: the garbage collector need not look at it again while requests wait.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(listener, limits))


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ImproperlyConfigured, naming the setting to change."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as failure:
        raise ImproperlyConfigured(
            f"STUDIO_BIND={host!r} is not an address of this machine: {failure.strerror}"
        ) from None
    # Named IPPROTO_TCP, or asyncio would leave out TCP_NODELAY, and each answer would wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as failure:
        listener.close()
        raise ImproperlyConfigured(_refused(host, port, failure)) from None
    return listener


def _refused(host: str, port: int, failure: OSError) -> str:
    if failure.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: end what listens there, or set STUDIO_SCORING_PORT to another port"
    if failure.errno == errno.EACCES:
        return (
            f"port {port} may not be opened by this user: set STUDIO_SCORING_PORT to one above 1023"
        )
    return f"cannot listen on {host} port {port} ({failure.strerror}): change STUDIO_BIND or STUDIO_SCORING_PORT"


async def _serve(listener: socket.socket, limits: Limits) -> None:
    table, pool = LiveTable(settings.DATABASE_URL), Pool()
    server = uvicorn.Server(_configuration(Gateway(table, pool, limits, settings.METRICS_TOKEN)))
    _end_normally_on_signals(server)
    # In a group: a fault in keeping the table ends the process too, and `up` starts it anew.
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(table.keep_fresh())
        log.info("listening address=%s", settings.SCORING_ADDRESS)
        await server.serve(sockets=[listener])
        pool.close()
        await _cancel(keeper)
    log.info("stopped")


def _configuration(app: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Front,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
    )


def _end_normally_on_signals(server: uvicorn.Server) -> None:
    """uvicorn repeats the signal when it has ended, to whatever handled it before: that shall not be death by signal."""

    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


async def _cancel(keeper: asyncio.Task[None]) -> None:
    """End the task, also while it waits for a database that hangs."""
    while not keeper.done():
        # The first time, psycopg still tells the server to cancel, and waits for it; the second time it gives up.
        keeper.cancel()
        await asyncio.wait([keeper], timeout=0.1)


def _allow_many_connections() -> None:
    """Each request needs two files: the usual limit of 1,024 would end at 500 at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
