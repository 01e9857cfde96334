"""Which kind of source an address or a path is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from studio.importing.addresses import public
from studio.importing.report import Report
from studio.importing.sources.calls import Calls
from studio.importing.sources.database import Database
from studio.importing.sources.filestore import FileStore
from studio.importing.sources.server import Server
from studio.importing.units import Source
from studio.lib.errors import Invalid


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked to import from."""

    address: str
    artifacts: list[Path] = field(default_factory=list)
    token: str = ""
    username: str = ""
    password: str = ""


def open_source(wanted: Wanted, report: Report, work: Path) -> Source:
    """Raises Invalid for what is none. `work` is an empty folder for copies."""
    address = wanted.address
    path = Path(address.removeprefix("sqlite:///").removeprefix("file://")).expanduser()
    if address.startswith(("http://", "https://")):
        calls = Calls(
            address, token=wanted.token, username=wanted.username, password=wanted.password
        )
        return Server(address, calls, report)
    if path.is_dir():
        return FileStore(_store_below(path), wanted.artifacts, report)
    if path.is_file():
        return Database(path, wanted.artifacts, report, work)
    raise Invalid(
        f"There is nothing at {public(address)}. Give a folder (mlruns), an SQLite file (mlflow.db), "
        "or the http(s) address of an MLflow server."
    )


def _store_below(path: Path) -> Path:
    """The folder that holds the experiments: the one given, or the mlruns in it. Raises Invalid."""
    for folder in (path, path / "mlruns"):
        if any((child / "meta.yaml").is_file() for child in _folders(folder)):
            return folder.resolve()
    raise Invalid(
        f"{path} holds no experiments of MLflow's: no folder in it has a meta.yaml. "
        "Give the folder mlruns itself, or the one that it lies in."
    )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inside = [*folder.iterdir(), *_inside(folder / ".trash"), *_inside(folder / "models")]
    return [child for child in inside if child.is_dir()]


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
