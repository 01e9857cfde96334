from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand

from studio.accounts.services import ensure_first_administrator

# What packages bring and no page loads; some of it refers to files that are not there.
_UNUSED = ["django_htmx/ext/*", "django_htmx/*-4*", "django_htmx/htmx-2.js", "rest_framework/*"]


class Command(BaseCommand):
    help = "Bring tables and static files to this version and make the first administrator. Safe to repeat."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
        self._first_administrator()
        self._static_files()

    def _first_administrator(self) -> None:
        password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(15)
        if not ensure_first_administrator(username=settings.ADMIN_USERNAME, password=password):
            return
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

    def _static_files(self) -> None:
        """Collect only when a file has changed: compressing them takes seconds."""
        stamp = settings.STATIC_ROOT / "stamp"
        now = _static_digest()
        if stamp.exists() and stamp.read_text() == now:
            return
        call_command(
            "collectstatic",
            verbosity=0,
            interactive=False,
            clear=True,
            ignore_patterns=_UNUSED,
            skip_checks=True,
        )
        stamp.write_text(now)


def _static_digest() -> str:
    summary = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list(_UNUSED):
            summary.update(
                f"{name} {storage.size(name)} {storage.get_modified_time(name)}\n".encode()
            )
    return summary.hexdigest()
