from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from studio.launch.log import Log
from studio.launch.up import up


class Command(BaseCommand):
    help = "Start Studio and keep it running until Ctrl-C or SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            up(Log(settings.LOG_FORMAT))
        except (ImproperlyConfigured, PermissionError) as failure:
            raise CommandError(str(failure)) from None
