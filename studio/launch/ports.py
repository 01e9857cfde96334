"""Whether a port can be had, told before the program that wants it would."""

from __future__ import annotations

import errno
import socket

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def require_free_port(setting: str, port: int) -> None:
    """Raises ImproperlyConfigured, naming the setting to change."""
    family = socket.AF_INET6 if ":" in settings.BIND else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.BIND, port))
        except OSError as failure:
            if failure.errno == errno.EADDRINUSE:
                raise ImproperlyConfigured(
                    f"Port {port} is in use: set {setting} to another"
                ) from None
            told = failure.strerror
            raise ImproperlyConfigured(
                f"Studio cannot listen on {settings.BIND}, port {port}: {told}. See STUDIO_BIND"
            ) from None
