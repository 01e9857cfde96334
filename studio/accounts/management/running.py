"""For commands that ask a Studio that runs."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from studio.lib import database
from studio.lib.home import not_running


def check_running() -> None:
    """Raises CommandError where the database cannot be reached, at once: the pool would wait and warn for seconds."""
    try:
        database.refuse_unusable(settings.DATABASE_URL)
    except ImproperlyConfigured as refusal:
        if settings.POSTGRES_EMBEDDED:
            raise CommandError(not_running(settings.HOME.root)) from None
        raise CommandError(str(refusal)) from None
