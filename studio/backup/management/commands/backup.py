from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from studio.backup import folder, manifest
from studio.backup.failure import BackupFailed
from studio.backup.management.ending import ended_by_signal
from studio.backup.take import take
from studio.backup.verify import verify


class Command(BaseCommand):
    help = (
        "Write a backup of the database, the artifacts and the secrets to a dated folder in DIR, while Studio runs "
        "or not. Unchanged artifacts are linked from the backup before. docs/backup.md tells what is in it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "place", metavar="DIR", type=Path, help="where backups lie: another disk"
        )
        parser.add_argument(
            "--keep",
            type=_number,
            metavar="N",
            help="then remove all but the newest N backups in DIR",
        )
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="leave out the artifacts, which are backed up by other means",
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="take none: read all of the newest one in DIR, or of the one that DIR is, and compare its checksums",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        place = options["place"].absolute()
        try:
            with ended_by_signal():
                if options["verify"]:
                    self._verify(place)
                else:
                    self._take(place, options)
        except (BackupFailed, ImproperlyConfigured, OSError) as failure:
            raise CommandError(str(failure)) from None

    def _take(self, place: Path, options: dict[str, Any]) -> None:
        made = take(place, database_only=options["database_only"], say=self._say)
        told = manifest.read(made)
        for note in told.notes:
            self._say(f"WARNING: {note}")
        for model in told.missing[:20]:
            self._say(f"WARNING: the files of a model are not in the store: {model}")
        if options["keep"]:
            for gone in folder.keep(place, options["keep"]):
                self._say(f"removed {gone.root}")
        self._say(f"The backup is {made.root}")

    def _verify(self, place: Path) -> None:
        found = folder.find(place)
        told = manifest.read(found)
        verify(found, told, self._say)
        self._say(f"{found.root} is whole: every file is as it was written")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("write a number from 1")
    return int(text)
