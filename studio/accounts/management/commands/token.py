from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from studio.accounts import services
from studio.accounts.management.running import check_running
from studio.accounts.models import User


class Command(BaseCommand):
    help = "Issue a personal access token, and print it and nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="whose token it is")
        parser.add_argument(
            "--name",
            required=True,
            help="what it is for: its label in the list of tokens",
        )

    def handle(self, *args: Any, user: str, name: str, **options: Any) -> None:
        check_running()
        try:
            owner = User.objects.get(username=user)
        except User.DoesNotExist:
            raise CommandError(f"There is no user named {user!r}.") from None
        if not name.strip() or len(name) > 100:
            raise CommandError("Write a --name of 1 to 100 characters.")
        _, text = services.issue_token(user=owner, label=name.strip(), by=owner)
        self.stdout.write(text)
