"""The web process as `up` starts it, on the tests' own database."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from studio.accounts import services
from studio.accounts.models import AuditEvent, User
from studio.lib.database import embedded_url
from tests.support.processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """Of a process of Studio that works on the tests' database and home."""
    given = {name: str(value) for name, value in connection.settings_dict.items()}
    url = embedded_url(Path(given["HOST"]), given["USER"], given["PASSWORD"], given["NAME"])
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {
        "STUDIO_HOME": str(settings.HOME.root),
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "studio.settings",
        "PYTHONPATH": str(ROOT),
    }
    return kept | own | more


@contextmanager
def committed_token(
    name: str, blocker: DjangoDbBlocker, *, administrator: bool = False
) -> Iterator[str]:
    """The token of a user whom the web process reads through a connection of its own."""
    with blocker.unblock():
        user = User.objects.create_user(name, is_superuser=administrator)
        yield services.issue_token(user=user, label="test", by=user)[1]
        user.delete()
        AuditEvent.objects.all().delete()


@contextmanager
def serving(application: str = "studio.wsgi:application") -> Iterator[str]:
    """The address of granian with Studio's WSGI application, or another."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--http", "1", "--workers", "1", "--blocking-threads", "512", "--no-ws", "--log-level", "error",
        application,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=environment(STUDIO_PORT=str(port)))
    try:
        until(lambda: _answers(port), "the web process")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        _forget()


def _forget() -> None:
    """What the web process has told of itself is no test's."""
    given = {name: str(value) for name, value in connection.settings_dict.items()}
    url = embedded_url(Path(given["HOST"]), given["USER"], given["PASSWORD"], given["NAME"])
    with psycopg.connect(url, autocommit=True) as wire:
        for table in ("health_process", "health_window", "health_failure"):
            wire.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.TransportError:
        return False


def by_hand(address: str, *lines: str, body: bytes = b"", drop: str = "") -> bytes:
    """Send a request byte by byte and return what comes back; or go away when all is sent.

    `drop`: "fin" as who hangs up, "rst" as who falls over, "half" as who has nothing more to say.
    """
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), 10) as wire:
        head = "\r\n".join([*lines, f"Host: {place.netloc}", "Connection: close", "", ""])
        wire.sendall(head.encode() + body)
        if drop == "rst":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if drop == "half":
            wire.shutdown(socket.SHUT_WR)
        told = b""
        while not drop and (piece := wire.recv(65536)):
            told += piece
        return told


def chunk(content: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(content), content)
