"""Static files, collected and compressed where the web process serves them from."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

# What packages bring and no page loads; some of it refers to files that are not there.
_UNUSED = ["django_htmx/ext/*", "django_htmx/*-4*", "django_htmx/htmx-2.js", "rest_framework/*"]


def collect() -> None:
    """Collect them only when a file has changed: compressing them takes seconds."""
    stamp = settings.STATIC_ROOT / "stamp"
    now = _digest()
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


def _digest() -> str:
    summary = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list(_UNUSED):
            summary.update(
                f"{name} {storage.size(name)} {storage.get_modified_time(name)}\n".encode()
            )
    return summary.hexdigest()
