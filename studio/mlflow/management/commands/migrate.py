from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from studio.mlflow import schema


class Command(migrate.Command):
    help = "Bring the database to this version: MLflow's tables by MLflow's own revisions, then Studio's."

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["plan"] and not options["check_unapplied"]:
            schema.upgrade(options["database"])
        super().handle(*args, **options)
