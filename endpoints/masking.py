"""Keeps the package index out of logs: what is written down of uv's words names neither its address nor a login."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

INDEX, PROXY = "(the package index)", "(the proxy)"

_ADDRESS = re.compile(r"[a-zA-Z][\w+.-]*://[^\s\"'<>]+")
_LOGIN = re.compile(r"://[^/\s]+@")
_QUERY = re.compile(
    r"(://[^\s?]+)\?[^\s`\"')]*"
)  # of a signed download, which it lets everybody do
_SECRET = re.compile(r"UV_\w*(PASSWORD|TOKEN)\w*")
_OF_INDEX = re.compile(r"UV_\w*(INDEX|LINKS|MIRROR)\w*")
_OF_PROXY = re.compile(r"\w+_proxy", re.IGNORECASE)
_OPTION = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links)(\s+|=\s*)?(?P<given>\S.*)"
)
_NESTED = re.compile(r"(-r|-c|--requirements?|--constraints?)(\s+|=\s*)?(?P<given>\S.*)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SHORTEST = 4  # characters of a secret: a shorter one is part of any word


class Mask:
    """Replaces in a line every address of an index, also by its host alone, every proxy and every login."""

    def __init__(
        self, indexes: Iterable[str], proxies: Iterable[str], secrets: Iterable[str]
    ) -> None:
        indexes, proxies = set(indexes), set(proxies)
        found = {INDEX: indexes, PROXY: {url for url in proxies if _has_login(url)}}
        patterns = [
            (_pattern(address), told)
            for told, addresses in found.items()
            for address in sorted(addresses, key=len, reverse=True)
        ]
        logins = {part for address in indexes | proxies for part in _login(address)}
        kept = {secret for secret in {*secrets, *logins} if len(secret) >= _SHORTEST}
        patterns += [(re.escape(secret), "***") for secret in sorted(kept, key=len, reverse=True)]
        self._patterns = [(re.compile(pattern, re.IGNORECASE), told) for pattern, told in patterns]

    def __call__(self, line: str) -> str:
        for pattern, told in self._patterns:
            line = pattern.sub(told, line)
        return _QUERY.sub(r"\1", _LOGIN.sub("://", line))


def mask(environment: Mapping[str, str], lines: Iterable[str], model: Path) -> Mask:
    """What hides all that uv may learn: from its environment and files of settings, and the model's requirements."""
    indexes, proxies, secrets = set[str](), set[str](), set[str]()
    for name, value in environment.items():
        if _SECRET.fullmatch(name):
            secrets.add(value)
        elif _OF_PROXY.fullmatch(name):
            proxies.add(value if "://" in value else f"http://{value}")
        elif _OF_INDEX.fullmatch(name):
            indexes |= set(_addresses(value))
    for told in _given(lines, model, set()):
        plain = _VARIABLE.sub(lambda found: environment.get(found[1], ""), told)
        indexes |= set(_addresses(plain))
    for path in _files_of_settings(environment, model):
        indexes |= set(_in_settings(path))
    return Mask(indexes, proxies, secrets)


def _addresses(value: str) -> Iterator[str]:
    """Each URL in a value; and each folder of packages by its absolute path."""
    for word in re.split(r"\s+|,(?=[\w+.-]+://|/)", value):
        address = _ADDRESS.search(word)
        if address or len(word) > 1 and word.startswith("/"):
            yield address[0] if address else word


def _given(lines: Iterable[str], model: Path, seen: set[Path]) -> Iterator[str]:
    """What options of a requirements file name as an index, those of the files that it names too."""
    for line in lines:
        if option := _OPTION.match(line):
            yield option["given"]
        elif nested := _NESTED.match(line):
            path = (model / nested["given"].strip()).resolve()
            if path.is_file() and path.is_relative_to(model.resolve()) and path not in seen:
                seen.add(path)
                within = (inner.strip() for inner in path.read_text(errors="replace").splitlines())
                yield from _given(within, model, seen)


def _files_of_settings(environment: Mapping[str, str], model: Path) -> list[Path]:
    """Where uv looks for settings: its user's, the machine's, and whatever lies around the folder it works in."""
    homes = [
        environment.get("XDG_CONFIG_HOME"),
        str(Path(environment.get("HOME", "/")) / ".config"),
    ]
    found = [Path(home) / "uv" / "uv.toml" for home in homes if home]
    found.append(Path("/etc/uv/uv.toml"))
    if environment.get("UV_CONFIG_FILE"):
        found.append(Path(environment["UV_CONFIG_FILE"]))
    around = [model, *model.parents]
    return found + [folder / name for folder in around for name in ("uv.toml", "pyproject.toml")]


def _in_settings(path: Path) -> Iterator[str]:
    """The addresses in a file of uv's settings. One that is not there, or broken, has none."""
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return
    if path.name == "pyproject.toml":
        told = told.get("tool", {}).get("uv", {})
    for text in _texts(told):
        yield from _ADDRESS.findall(text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _pattern(address: str) -> str:
    """Every way to name it: itself, anything on its host, and the host alone."""
    host, port = _host(address)
    literal = rf"{re.escape(address)}[^\s`\"')]*"
    if not host:
        return literal
    name = rf"\[?{re.escape(host)}\]?"
    # Another port is another server.
    place = rf"{name}:{port}(?!\d)" if port else rf"{name}(?!:\d|[\w-]|\.\w)"
    return rf"{literal}|[\w+.-]+://(?:[^/\s]*@)?{place}(?:[/?#][^\s`\"')]*)?|(?<![\w.-]){place}"


def _host(address: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.port
    except ValueError:  # a port that is no number: what is before it may be part of a login
        return "", None


def _login(address: str) -> set[str]:
    """The password of an address, as it is written and as it is meant; a name without one is a token."""
    before = address.partition("://")[2].partition("/")[0].rpartition("@")[0]
    name, _, password = before.partition(":")
    secret = password or name
    return {secret, unquote(secret)}


def _has_login(address: str) -> bool:
    return any(_login(address))
