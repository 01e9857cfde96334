from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from studio.accounts import services
from studio.accounts.management.running import check_running
from studio.accounts.user_access import user_for
from studio.lib.errors import StudioError


class Command(BaseCommand):
    help = "Make a link that sets a user's password once, within an hour, and print it and nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the user's name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        check_running()
        try:
            made = services.make_password_link(user=user_for(name), by=None)
        except StudioError as refused:
            raise CommandError(refused.message) from None
        self.stdout.write(made.url)
