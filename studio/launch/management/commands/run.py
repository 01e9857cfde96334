from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from studio.launch import alone


class Command(BaseCommand):
    help = (
        "Run one process of Studio alone, in the foreground, beside those of other hosts that use the same "
        "PostgreSQL, Redis, artifacts and secret key. SIGTERM ends it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=alone.names(), help="which one")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            alone.run(options["name"])
        except (ImproperlyConfigured, PermissionError) as failure:
            raise CommandError(str(failure)) from None
