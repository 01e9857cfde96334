from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from studio.accounts.adoption import adopt_users
from studio.accounts.services import ensure_first_administrator
from studio.launch import assets, before, hosts
from studio.lib.errors import Conflict


class Command(BaseCommand):
    help = "Bring tables and static files to this version and make the first administrator. Safe to repeat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--settle",
            action="store_true",
            help="have all hosts use, from now on, the artifact store and the secret key of this one",
        )
        parser.add_argument(
            "--whole",
            action="store_true",
            help="for `up`: refuse where the agent of another host runs on this database",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            before.refuse_stores()
            settings.HOME.make()
            before.refuse_artifacts_out_of_reach()
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            hosts.settle(anew=options["settle"])
            if options["whole"] and not settings.POSTGRES_EMBEDDED:
                hosts.require_agent_here("`manage.py up`")
        except ImproperlyConfigured as failure:
            raise CommandError(str(failure)) from None
        self._adopt_users()
        self._first_administrator()
        assets.collect()

    def _adopt_users(self) -> None:
        adopted = adopt_users()
        for line in adopted.told():
            self.stdout.write(line)
        if settings.ADMIN_PASSWORD and settings.ADMIN_USERNAME in adopted.users:
            self.stdout.write(
                f"{settings.ADMIN_USERNAME} is one of them, and keeps its password: "
                "STUDIO_ADMIN_PASSWORD counts only for an administrator that Studio makes."
            )

    def _first_administrator(self) -> None:
        name, password = (
            settings.ADMIN_USERNAME,
            settings.ADMIN_PASSWORD or secrets.token_urlsafe(15),
        )
        try:
            if not ensure_first_administrator(username=name, password=password):
                return
        except Conflict as refused:
            raise CommandError(refused.message) from None
        if settings.ADMIN_PASSWORD:
            self.stdout.write(f"Made the first administrator: {settings.ADMIN_USERNAME}")
            return
        path = settings.HOME.admin_password
        path.touch(mode=0o600)
        path.write_text(f"{password}\n")
        self.stdout.write(
            f"Made the first administrator: {settings.ADMIN_USERNAME}, password: {password}"
        )
        self.stdout.write(f"The password is also in {path}. It is not shown again.")
