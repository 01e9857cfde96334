"""Reads settings from the environment. A value that cannot be right stops the start with one line."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

Network = IPv4Network | IPv6Network


def env_text(name: str, default: str = "") -> str:
    return os.environ.get(name, "") or default


def env_bool(name: str, *, default: bool) -> bool:
    """Read a yes/no variable; a typo stops the start instead of meaning False."""
    raw = os.environ.get(name, "")
    if raw == "":
        return default
    if raw not in ("true", "false"):
        raise ImproperlyConfigured(f"{name}={raw!r}: write 'true' or 'false'")
    return raw == "true"


def env_port(name: str, default: int) -> int:
    raw = os.environ.get(name, "") or str(default)
    if not raw.isdecimal() or not 0 < int(raw) < 65536:
        raise ImproperlyConfigured(f"{name}={raw!r}: write a port number from 1 to 65535")
    return int(raw)


def env_choice(name: str, choices: tuple[str, ...]) -> str:
    """One of `choices`; the first is the default."""
    raw = os.environ.get(name, "") or choices[0]
    if raw not in choices:
        raise ImproperlyConfigured(f"{name}={raw!r}: write one of {', '.join(choices)}")
    return raw


def env_url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """An address without a trailing slash."""
    raw = os.environ.get(name, "") or default
    if raw and not _is_address(raw, schemes):
        told = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ImproperlyConfigured(f"{name} is not an address that begins with {told}")
    return raw.rstrip("/")


def _is_address(raw: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(raw)
        if parts.scheme in ("http", "https") and not (parts.hostname and parts.port != 0):
            return False
    except ValueError:  # a bracket left open, or a port that is no number
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path or parts.query)


def env_folder(name: str, default: Path) -> Path:
    """An absolute folder path. It need not exist yet."""
    raw = os.environ.get(name, "")
    if "://" in raw:
        raise ImproperlyConfigured(f"{name}={raw!r}: only a local folder is supported so far")
    try:
        path = Path(raw).expanduser() if raw else default
    except RuntimeError:
        raise ImproperlyConfigured(f"{name}={raw!r}: there is no such user's home") from None
    if not path.is_absolute():
        raise ImproperlyConfigured(f"{name}={raw!r}: write an absolute path")
    return Path(os.path.normpath(path))


def env_gigabytes(name: str, default: int) -> int:
    """A size in gigabytes, 0.5 say, as bytes."""
    raw = os.environ.get(name, "") or str(default)
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw, re.ASCII) or not float(raw):
        raise ImproperlyConfigured(
            f"{name}={raw!r}: write a number of gigabytes above 0, 20 or 0.5 say"
        )
    return int(float(raw) * 1_000_000_000)


def env_list(name: str) -> list[str]:
    return [item.strip() for item in os.environ.get(name, "").split(",") if item.strip()]


def env_networks(name: str) -> tuple[Network, ...]:
    """Addresses and networks, 10.0.0.7 or 10.0.0.0/24 say, separated by commas."""
    try:
        return tuple(ip_network(item) for item in env_list(name))
    except ValueError as failure:
        raise ImproperlyConfigured(
            f"{name}: {failure}. Write addresses or networks, separated by commas"
        ) from None
