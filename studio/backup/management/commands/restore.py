from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from studio.backup.failure import BackupFailed
from studio.backup.management.ending import ended_by_signal
from studio.backup.restore import restore


class Command(BaseCommand):
    help = "Restore a backup into an empty STUDIO_HOME, and an empty database where DATABASE_URL is set."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "place", metavar="DIR", type=Path, help="a backup, or a folder of them: the newest"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ended_by_signal():
                source = restore(options["place"].absolute(), self._say)
        except (BackupFailed, ImproperlyConfigured, OSError) as failure:
            raise CommandError(str(failure)) from None
        self._say(f"{source.root} is restored. Start Studio; everybody signs in again.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
