from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from studio.accounts.management.running import check_running
from studio.launch import release


class Command(BaseCommand):
    help = "Give the database of DATABASE_URL back to MLflow: delete what is Studio's, keep what is MLflow's."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask: for programs")

    def handle(self, *args: Any, yes: bool, **options: Any) -> None:
        check_running()
        try:
            with release.alone():
                release.require_ours()
                self._ask(yes)
                handed = release.release()
        except ImproperlyConfigured as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(
            "Released. `mlflow server` of the same version can use the database again."
        )
        for line in handed.told():
            self.stdout.write(line)

    def _ask(self, yes: bool) -> None:
        """Raises CommandError for anybody who does not name the database."""
        name = str(settings.DATABASES["default"]["NAME"])
        goes, stays = release.told()
        self.stdout.write(
            f"This deletes from the database {name}, for good: {goes}, and all else of Studio's."
        )
        self.stdout.write(f"It keeps what is MLflow's: {stays}.")
        if yes:
            return
        try:
            typed = input("Type the name of the database to go on: ")
        except EOFError:
            raise CommandError("Nobody is there to ask: say --yes.") from None
        if typed.strip() != name:
            raise CommandError("That is not its name: nothing was changed.")
