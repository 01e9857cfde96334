from __future__ import annotations

import json
import platform
import sys
from argparse import ArgumentParser
from importlib.metadata import version
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from studio.launch import standing
from studio.launch.standing import Standing

_NAMES = {"studio": "Studio", "mlflow": "MLflow", "django": "Django", "python": "Python"}
_ROW = "{:<10} {:<10} {:>8} {:>12} {:>9}  {}"


class Command(BaseCommand):
    help = (
        "Tell what of Studio runs on this machine, where, and whether it is well. "
        "Exit code 0 when it runs, well or not; 1 when it does not."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json",
            action="store_true",
            help="for programs; holds the databases' passwords",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = standing.processes()
        runs = any(process.pid for process in found)
        if options["json"]:
            self.stdout.write(json.dumps(_for_programs(found)))
        else:
            for line in [*_headline(runs), "", *_places(), *(_table(found) if runs else [])]:
                self.stdout.write(line)
        if not runs:
            sys.exit(1)


def _for_programs(found: list[Standing]) -> dict[str, Any]:
    return {
        "urls": {"web": settings.PUBLIC_URL, "scoring": settings.SCORING_URL},
        "database_url": settings.DATABASE_URL,
        "redis_url": settings.REDIS_URL,
        "processes": [
            {"name": process.name, "pid": process.pid, "state": process.state} for process in found
        ],
        "versions": _versions(),
    }


def _headline(runs: bool) -> list[str]:
    if not runs:
        return ["Studio is not running. Start it with `make up`."]
    well, lines = standing.health()
    told = "Studio runs and is well." if well else "Studio runs, and is not well:"
    return [told, *(f"  {line}" for line in lines)]


def _places() -> list[str]:
    versions = ", ".join(f"{_NAMES[name]} {number}" for name, number in _versions().items())
    places = {
        "web": settings.PUBLIC_URL,
        "scoring": settings.SCORING_URL,
        "home": settings.HOME.root,
        "artifacts": settings.ARTIFACTS,
        **standing.stores(),
        "versions": versions,
    }
    return [f"{name:<10} {place}" for name, place in places.items()]


def _table(found: list[Standing]) -> list[str]:
    rows = [_row(process) for process in found]
    total = sum(process.memory or 0 for process in found)
    sizes = _ROW.format("all", "", "", "", _megabytes(total), "").rstrip()
    head = _ROW.format("process", "state", "pid", "up", "memory", "").rstrip()
    return ["", head, *rows, sizes]


def _row(process: Standing) -> str:
    again = f"started again {process.restarts} times" if process.restarts > 1 else ""
    again = "started again once" if process.restarts == 1 else again
    seconds, memory = process.seconds, process.memory
    return _ROW.format(
        process.name,
        process.state,
        process.pid or "-",
        "-" if seconds is None else _duration(seconds),
        "-" if memory is None else _megabytes(memory),
        again,
    ).rstrip()


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"


def _duration(seconds: float) -> str:
    """The two largest units: 3 d 4 h."""
    left, told = int(seconds), list[str]()
    for name, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or told or name == "s":
            told.append(f"{number} {name}")
    return " ".join(told[:2])


def _versions() -> dict[str, str]:
    return {
        "studio": settings.VERSION,
        "mlflow": version("mlflow"),
        "django": version("django"),
        "python": platform.python_version(),
    }
