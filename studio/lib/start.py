"""The start of every process: a setting that cannot be right ends it with one line, and no traceback."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured


def read_settings() -> None:
    """Read them, or end this process with exit code 1 and a line that names the setting."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    from django.conf import settings

    try:
        settings.BASE_DIR  # noqa: B018 - the first look at any of them reads all
    except ImproperlyConfigured as refusal:
        sys.exit(f"Studio cannot start: {refusal}")
