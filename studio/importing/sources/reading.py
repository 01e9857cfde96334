"""Reading MLflow's files with care: any of them may be broken, too large, a link, or not what its name says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from studio.importing import local
from studio.importing.report import Report
from studio.importing.units import NONSENSE, Refused, Row

_SMALL = 1024 * 1024
_DEEPEST = 100
_LARGEST_TEXT = 16 * 1024 * 1024
# libyaml reads ten times as fast. Both make plain values only.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
META = "meta.yaml"
ID = re.compile(r"[A-Za-z0-9][\w-]{0,35}")


def meta(folder: Path, name: str = META) -> Row:
    """A meta.yaml as a mapping. Raises Refused."""
    try:
        data = local.read(folder / name, _SMALL)
        _check(data)
        found = yaml.load(data, Loader=_LOADER)  # noqa: S506 - a safe loader
    except Refused as refused:
        raise Refused(f"{name}: {refused}") from None
    except (yaml.YAMLError, *NONSENSE) as failure:
        raise Refused(f"{name} is no valid YAML: {str(failure).partition(chr(10))[0]}") from None
    if not isinstance(found, dict):
        raise Refused(f"{name} holds no names and values")
    return found


def _check(data: bytes) -> None:
    """Refuse what is cheap to write and too much to load: deep nesting, and names for what is said elsewhere."""
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise Refused("it has aliases, which MLflow does not write")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise Refused(f"it is nested deeper than {_DEEPEST} levels")


def folders(parent: Path, kind: str, report: Report) -> Iterator[Path]:
    """The folders in a folder, by name. One that is a link, and may lead anywhere, is told and left out."""
    try:
        there = parent.is_dir() and not parent.is_symlink()
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name) if there else []
    except OSError as failure:
        report.left(kind, f"all in {parent.name}", f"it cannot be read: {failure.strerror}")
        return
    for entry in entries:
        if entry.is_symlink():
            report.left(kind, entry.name, "it is a link, and links are not followed")
        elif entry.is_dir():
            yield Path(entry.path)


def files(folder: Path, kind: str, owner: str, report: Report) -> Iterator[tuple[str, Path]]:
    """The files in a folder and those below it, whose names are keys with slashes."""
    for file in local.Folder(folder).walk(
        lambda path, reason: report.left(kind, f"{owner} {path}", reason)
    ):
        yield file.path, folder / file.path


def values(folder: Path, kind: str, owner: str, report: Report) -> Iterator[tuple[str, str]]:
    """Params or tags: the files in a folder, by key. What cannot be read is told and left out."""
    for key, path in files(folder, kind, owner, report):
        try:
            yield key, local.read(path, _LARGEST_TEXT).decode()
        except Refused as refused:
            report.left(kind, f"{owner} {key}", str(refused))
        except UnicodeDecodeError:
            report.left(kind, f"{owner} {key}", "it is not valid UTF-8")


def lines(path: Path) -> Iterator[list[str]]:
    """The words of each line of a metric's file, piece by piece. Raises Refused."""
    rest = b""
    with local.opened(path) as pieces:
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > _SMALL:
                raise Refused("it has a line that is longer than 1 MB")
            for line in whole:
                yield line.decode(errors="replace").split()
    if rest:
        yield rest.decode(errors="replace").split()


def text(found: Row, name: str) -> str | None:
    """A text of a mapping. Raises Refused for a list, say."""
    value = found.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    raise Refused(f"{META}: {name} is no text")


def whole(found: Row, name: str) -> int | None:
    """A number of a mapping, a time say. Raises Refused."""
    value = found.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise Refused(f"{META}: {name} is no number") from None


def identity(found: Any, folder: str) -> str:
    """The id that a thing has in its meta.yaml. Raises Refused unless that is its folder's name, and can be one."""
    if str(found) != folder:
        raise Refused(f"its folder is not named like it: {META} says {str(found)[:100]!r}")
    if not ID.fullmatch(folder):
        raise Refused("its id is none that MLflow gives")
    return folder
