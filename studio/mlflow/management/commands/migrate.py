from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate

from studio.lib import database
from studio.lib.home import not_running
from studio.mlflow import outside, schema


class Command(migrate.Command):
    help = "Bring the database to this version: MLflow's tables by MLflow's own revisions, then Studio's."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="upgrade the tables of an older MLflow that Studio has not made: take a backup first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        alias = options["database"]
        _refuse_unreachable()
        with schema.alone(alias):
            try:
                found = schema.upgrade(alias, adopt=options["adopt"])
            except ImproperlyConfigured as refused:
                raise CommandError(str(refused)) from None
            super().handle(*args, **options)
            if found.is_foreign:
                self.stdout.write(outside.told(alias))


def _refuse_unreachable() -> None:
    """In one line: the pool would wait, and its failure be a page of calls."""
    try:
        database.refuse_unusable(settings.DATABASE_URL)
    except ImproperlyConfigured as refused:
        embedded = not_running(settings.HOME.root)
        raise CommandError(embedded if settings.POSTGRES_EMBEDDED else str(refused)) from None
