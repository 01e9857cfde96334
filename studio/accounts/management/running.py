"""For commands that ask a Studio that runs."""

from __future__ import annotations

import psycopg
from django.conf import settings
from django.core.management.base import CommandError

from studio.lib.home import not_running


def check_running() -> None:
    """Raises CommandError where the database cannot be reached, at once: the pool would wait and warn for seconds."""
    try:
        psycopg.connect(settings.DATABASE_URL, connect_timeout=5).close()
    except psycopg.OperationalError as failure:
        if settings.POSTGRES_EMBEDDED:
            raise CommandError(not_running(settings.HOME.root)) from None
        raise CommandError(f"The database of DATABASE_URL cannot be reached: {failure}") from None
