from __future__ import annotations

import json
import platform
from argparse import ArgumentParser
from importlib.metadata import version
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from studio.lib.processes import Identity


class Command(BaseCommand):
    help = "Tell what of Studio runs on this machine, and where."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json",
            action="store_true",
            help="for programs; holds the databases' passwords",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        status = _status()
        if options["json"]:
            self.stdout.write(json.dumps(status))
            return
        self.stdout.write(
            f"web      {status['urls']['web']}\nscoring  {status['urls']['scoring']}\n"
        )
        for process in status["processes"]:
            self.stdout.write(
                f"{process['name']:<10} {process['state']:<11} {process['pid'] or ''}"
            )
        if not status["processes"]:
            self.stdout.write("Studio is not running. Start it with `make up`.")


def _status() -> dict[str, Any]:
    return {
        "urls": {"web": settings.PUBLIC_URL, "scoring": settings.SCORING_URL},
        "database_url": settings.DATABASE_URL,
        "redis_url": settings.REDIS_URL,
        "processes": _processes(),
        "versions": {
            "studio": settings.VERSION,
            "mlflow": version("mlflow"),
            "django": version("django"),
            "python": platform.python_version(),
        },
    }


def _processes() -> list[dict[str, Any]]:
    """What `up` wrote down, checked against what is there now."""
    if not settings.HOME.processes.exists():
        return []
    told = json.loads(settings.HOME.processes.read_text())["processes"]
    found = []
    for process in told:
        alive = process["pid"] and Identity(process["pid"], process["started"]).alive()
        state = process["state"] if alive else "down"
        found.append(
            {
                "name": process["name"],
                "pid": process["pid"] if alive else None,
                "state": state,
            }
        )
    return found
