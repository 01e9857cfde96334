"""Reads settings from the environment. A value that cannot be right stops the start with one line."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured

Network = IPv4Network | IPv6Network
# Every setting that was asked for, with its default: who asks for a name makes it known.
DEFAULTS: dict[str, str] = {}
# Begin as settings do: what `up` marks its processes by, and what pages tell programs to read a credential from.
_NO_SETTINGS = {"STUDIO_UP_MARK", "STUDIO_KEY", "STUDIO_TOKEN"}
_HOST_NAME = re.compile(
    r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?", re.I | re.A
)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]")
_PLAIN_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def refuse_unknown() -> None:
    """A name that begins with STUDIO_ and that no env_* has asked for is a typo. For when all are read."""
    given = {name for name, value in os.environ.items() if name.startswith("STUDIO_") and value}
    unknown = sorted(given - DEFAULTS.keys() - _NO_SETTINGS)
    if unknown:
        raise ImproperlyConfigured("; ".join(map(_unknown, unknown)))


def _unknown(name: str) -> str:
    near = get_close_matches(name, DEFAULTS, 1, 0.7)
    then = f"did you mean {near[0]}?" if near else "docs/settings.md lists all of them"
    return f"{name}: there is no such setting; {then}"


def _given(name: str, default: object = "") -> str:
    """What stands in the environment. A variable that is set to nothing is one that is not set."""
    DEFAULTS[name] = str(default)
    return os.environ.get(name, "")


def env_text(name: str, default: str = "") -> str:
    return _given(name, default) or default


def env_bool(name: str, *, default: bool) -> bool:
    """Read a yes/no variable; a typo stops the start instead of meaning False."""
    raw = _given(name, str(default).lower())
    if raw == "":
        return default
    if raw not in ("true", "false"):
        raise ImproperlyConfigured(f"{name}={raw!r}: write 'true' or 'false'")
    return raw == "true"


def env_port(name: str, default: int) -> int:
    raw = _given(name, default) or str(default)
    if raw.startswith("tcp://"):
        raise ImproperlyConfigured(
            f"{name}={raw!r} is what Kubernetes sets for a service of that name: "
            "give the pod enableServiceLinks: false, or the service another name"
        )
    if not re.fullmatch(r"[0-9]{1,5}", raw) or not 0 < int(raw) < 65536:
        raise ImproperlyConfigured(f"{name}={raw!r}: write a port number from 1 to 65535")
    return int(raw)


def env_host(name: str, default: str) -> str:
    """An address to listen on, or a name of one."""
    raw = _given(name, default) or default
    if not is_host(raw):
        raise ImproperlyConfigured(
            f"{name}={raw!r}: write an address of this machine without a port, "
            "127.0.0.1 say, or 0.0.0.0 for all of them"
        )
    return raw


def is_host(text: str) -> bool:
    """A name, or an address of either kind without brackets."""
    try:
        ip_address(text)
    except ValueError:  # digits and dots that are no address are no name either
        return bool(_HOST_NAME.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)
    return True


def env_choice(name: str, choices: tuple[str, ...]) -> str:
    """One of `choices`; the first is the default."""
    raw = _given(name, choices[0]) or choices[0]
    if raw not in choices:
        raise ImproperlyConfigured(f"{name}={raw!r}: write one of {', '.join(choices)}")
    return raw


def env_url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """An address without a trailing slash. It may hold a password, so that no refusal repeats it."""
    raw = _given(name, default) or default
    if raw and _address(name, raw, schemes) is None:
        raise ImproperlyConfigured(_no_address(name, schemes))
    return raw.rstrip("/")


def env_site(name: str, default: str, *, path: bool = False) -> str:
    """The address that people and programs use, without a trailing slash: a host, and only if `path` says so more."""
    raw = _given(name, default) or default
    if not raw:
        return ""
    schemes = ("http", "https")
    parts = _address(name, raw, schemes)
    if parts is None or not parts.hostname or not is_host(parts.hostname):
        raise ImproperlyConfigured(_no_address(name, schemes))
    if parts.username is not None or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name}: write an address without user, ? and #")
    if parts.path.strip("/") and not path:
        raise ImproperlyConfigured(
            f"{name}={raw!r}: Studio is at the root of its host. Leave out {parts.path!r}, "
            "and give it a host name or a port of its own"
        )
    return raw.rstrip("/")


def _address(name: str, raw: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """Its parts. None: it is no such address."""
    try:
        parts = urlsplit(raw)
        if parts.netloc and "," not in parts.netloc and parts.port == 0:
            return None
    except ValueError:  # a bracket left open, or a port that is no number
        return None
    told = parts.netloc or parts.path or parts.query
    return parts if parts.scheme in schemes and told else None


def _no_address(name: str, schemes: tuple[str, ...]) -> str:
    told = " or ".join(f"{scheme}://" for scheme in schemes)
    return f"{name} is not an address that begins with {told} and names a host"


def env_folder(name: str, default: Path) -> Path:
    """An absolute folder path. It need not exist yet."""
    raw = _given(name, default)
    if "://" in raw:
        raise ImproperlyConfigured(f"{name}={raw!r}: only a local folder is supported so far")
    try:
        path = Path(raw).expanduser() if raw else default
    except RuntimeError:
        raise ImproperlyConfigured(f"{name}={raw!r}: there is no such user's home") from None
    if not path.is_absolute():
        raise ImproperlyConfigured(f"{name}={raw!r}: write an absolute path")
    return Path(os.path.normpath(path))


def env_artifacts(name: str, default: Path) -> Path | str:
    """An absolute folder path, or the address of an S3-compatible store: s3://bucket/prefix."""
    raw = _given(name, default)
    scheme, slashes, place = raw.partition("://")
    if not slashes:
        return env_folder(name, default)
    if "@" in place:  # a key, perhaps: it is not repeated
        raise ImproperlyConfigured(
            f"{name}: keys do not belong in the address. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if scheme != "s3":
        raise ImproperlyConfigured(
            f"{name}={raw!r}: artifacts are kept in a folder or in an S3-compatible store so far. "
            "Write an absolute path, or s3://bucket/prefix"
        )
    bucket, *names = place.rstrip("/").split("/")
    strange = [each for each in names if not _PLAIN_NAME.fullmatch(each) or not each.strip(".")]
    if strange or not _BUCKET.fullmatch(bucket):
        raise ImproperlyConfigured(
            f"{name}={raw!r}: write s3://bucket/prefix, the prefix of letters, digits and . _ - / only"
        )
    return raw.rstrip("/")


def env_gigabytes(name: str, default: int) -> int:
    """A size in gigabytes, 0.5 say, as bytes."""
    raw = _given(name, default) or str(default)
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw, re.ASCII) or not float(raw):
        raise ImproperlyConfigured(
            f"{name}={raw!r}: write a number of gigabytes above 0, 20 or 0.5 say"
        )
    return int(float(raw) * 1_000_000_000)


def env_list(name: str) -> list[str]:
    return [item.strip() for item in _given(name).split(",") if item.strip()]


def env_networks(name: str) -> tuple[Network, ...]:
    """Addresses and networks, 10.0.0.7 or 10.0.0.0/24 say, separated by commas."""
    try:
        return tuple(ip_network(item) for item in env_list(name))
    except ValueError as failure:
        raise ImproperlyConfigured(
            f"{name}: {failure}. Write addresses or networks, separated by commas"
        ) from None


def env_hosts(name: str) -> list[str]:
    """Host names, separated by commas; one that begins with a dot is a domain with all in it."""
    found = env_list(name)
    for item in found:
        plain = item[1:-1] if item.startswith("[") and item.endswith("]") else item.lstrip(".")
        if not is_host(plain) or item == ".":
            raise ImproperlyConfigured(
                f"{name}: {item!r} is no host name. Write names as browsers send them, "
                "without scheme and port, separated by commas"
            )
    return found


def env_secret(name: str, *, least: int) -> str:
    """A key or token: random, without spaces, of at least `least` characters. A refusal does not tell it."""
    raw = _given(name)
    if raw and not re.fullmatch(r"[!-~]+", raw):
        raise ImproperlyConfigured(f"{name}: write letters, digits and signs, without spaces")
    if raw and (len(raw) < least or len(set(raw)) < least // 4):
        raise ImproperlyConfigured(
            f"{name} is too easy to guess: write at least {least} random characters. "
            "This makes some: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return raw
